import numpy as np
import pytest

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.media.drawing import LegendEntry, enlarge, legend_of, overlay, panel

GREY = np.full((12, 16, 3), 100, np.uint8)


def test_background_and_ignored_pixels_stay_as_they_are() -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[:, 8:] = ZEROWASTE.ignore_index
    np.testing.assert_array_equal(overlay(GREY, labels, ZEROWASTE), GREY)


def test_object_is_tinted_with_its_colour_and_outlined_darker() -> None:
    labels = np.zeros((12, 16), np.uint8)
    labels[3:9, 4:12] = 2
    drawn = overlay(GREY, labels, ZEROWASTE, alpha=0.5)
    np.testing.assert_array_equal(drawn[6, 8], np.rint(0.5 * GREY[0, 0] + 0.5 * np.array(ZEROWASTE.palette[2])))
    assert drawn[3, 4].sum() < drawn[6, 8].sum()
    np.testing.assert_array_equal(drawn[2], GREY[2])
    assert (GREY == 100).all(), "the image itself stays the same"


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, (100, 100, 100)), (1.0, ZEROWASTE.palette[3])])
def test_alpha_is_the_share_of_the_class_colour(alpha: float, expected: tuple) -> None:
    labels = np.full((12, 16), 3, np.uint8)
    assert tuple(overlay(GREY, labels, ZEROWASTE, alpha)[5, 5]) == expected


def test_class_0_is_tinted_unless_it_is_the_background() -> None:
    classes = ClassScheme(("road", "sky"), ((0, 200, 0), (0, 0, 200)))
    assert tuple(overlay(GREY, np.zeros((12, 16), np.uint8), classes, 1.0)[0, 0]) == (0, 200, 0)


def test_labels_of_another_size_or_without_a_class_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        overlay(GREY, np.zeros((12, 15), np.uint8), ZEROWASTE)
    with pytest.raises(ValueError, match="label 5 has no class: there are 5"):
        overlay(GREY, np.full((12, 16), 5, np.uint8), ZEROWASTE)


def test_enlarged_labels_hold_no_new_values() -> None:
    assert enlarge(np.array([[1, 4]]), 2).tolist() == [[1, 1, 4, 4], [1, 1, 4, 4]]


@pytest.mark.parametrize("side", [1, 32, 256, 3000])
def test_panel_has_its_width_and_shows_whole_images(side: int) -> None:
    red = np.full((side, side, 3), (250, 0, 0), np.uint8)
    drawn = panel(
        [("Image", red), ("Truth", red), ("Prediction", red)], legend_of(ZEROWASTE, ["IoU 71.2 %"] * 5), "note"
    )
    assert drawn.dtype == np.uint8 and drawn.ndim == 3
    assert 800 < drawn.shape[1] <= 1600
    shown = (drawn == (250, 0, 0)).all(axis=2)
    assert shown.any(axis=0).sum() >= 3 * (256 if side <= 256 else 490)


def test_legend_shows_every_class_with_its_colour() -> None:
    classes = ClassScheme.numbered(30)
    drawn = panel([("Image", np.full((4, 64, 3), 255, np.uint8))], legend_of(classes, [""] * 30))
    for colour in classes.palette:
        assert (drawn == colour).all(axis=2).sum() > 1000, colour


def test_legend_leaves_the_box_of_the_untinted_background_empty() -> None:
    assert legend_of(ZEROWASTE, list("abcde"))[:2] == [
        LegendEntry("background", None, "a"),
        LegendEntry("rigid_plastic", (230, 5, 5), "b"),
    ]


def test_panel_of_images_of_different_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        panel([("a", GREY), ("b", GREY[:-1])])
    with pytest.raises(ValueError, match="one size"):
        panel([])
