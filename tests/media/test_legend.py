import numpy as np
import pytest

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.media.drawing import overlay
from fanet.media.legend import legend_strip, tinted_classes

MANY = ClassScheme.numbered(100)


def colours(image):
    return set(map(tuple, np.unique(image.reshape(-1, 3), axis=0).tolist()))


def test_only_classes_that_occur_and_are_tinted_are_in_the_legend():
    labels = np.zeros((50, 40), np.uint8)
    labels[10:20, 5:9], labels[30, 30], labels[49] = 3, 1, ZEROWASTE.ignore_index
    assert tinted_classes(labels, ZEROWASTE) == [1, 3]
    found = colours(legend_strip(ZEROWASTE, [1, 3], 640))
    assert {ZEROWASTE.palette[1], ZEROWASTE.palette[3]} <= found
    assert not {ZEROWASTE.palette[index] for index in (0, 2, 4)} & found


def test_class_in_the_last_rows_of_a_large_map_is_found(monkeypatch):
    monkeypatch.setattr("fanet.media.legend._BLOCK", 64)
    labels = np.zeros((100, 30), np.uint8)
    labels[99, 29] = 4
    assert tinted_classes(labels, ZEROWASTE) == [4]
    assert tinted_classes(labels[::-1, ::-1], ZEROWASTE) == [4], "whatever the strides"


def test_image_without_objects_has_no_legend():
    assert legend_strip(ZEROWASTE, [], 64).shape == (0, 64, 3)


@pytest.mark.parametrize("width", [1, 33, 640, 1920, 5000])
def test_legend_is_as_wide_as_the_image(width):
    height, wide, _ = legend_strip(ZEROWASTE, range(1, 5), width).shape
    assert wide == width and height > 0


def test_legend_breaks_into_rows_and_ends_at_the_greatest_height():
    whole = legend_strip(MANY, range(1, 100), 640)
    cut = legend_strip(MANY, range(1, 100), 640, most=120)
    assert len(cut) <= 120 < len(whole)
    found = colours(cut)
    shown = [index for index in range(1, 100) if MANY.palette[index] in found]
    assert shown == list(range(1, len(shown) + 1)) and len(shown) > 5
    assert len(legend_strip(MANY, range(1, 100), 640, most=1)) > 0, "at least one row"


def test_overlay_above_the_legend_stays_the_same():
    rng = np.random.default_rng(0)
    image, labels = rng.integers(256, size=(45, 70, 3), dtype=np.uint8), rng.integers(5, size=(45, 70), dtype=np.uint8)
    strip = legend_strip(ZEROWASTE, [1, 2], 70)
    drawn = overlay(image, labels, ZEROWASTE, below=strip)
    np.testing.assert_array_equal(drawn[:45], overlay(image, labels, ZEROWASTE))
    np.testing.assert_array_equal(drawn[45:], strip)
