import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation import find_objects, to_detections

CLASSES = ClassScheme(("background", "bottle", "can"))


def labels() -> np.ndarray:
    """Two bottles, one of two pixels that touch at their corners, and a can with a hole."""
    values = np.zeros((8, 10), np.uint8)
    values[0, 0] = values[1, 1] = 1
    values[5:8, 0:2] = 1
    values[1:6, 4:9] = 2
    values[3, 5:7] = 0
    return values


def test_objects_are_described() -> None:
    confidence = np.linspace(0, 1, 80, dtype=np.float32).reshape(8, 10)
    pair, block, can = find_objects(labels(), CLASSES, confidence)
    assert [(entry.name, entry.label, entry.area) for entry in (pair, block, can)] == [
        ("bottle", 1, 2),
        ("bottle", 1, 6),
        ("can", 2, 23),
    ]
    assert pair.box == (0, 0, 2, 2) and block.box == (0, 5, 2, 3) and can.box == (4, 1, 5, 5)
    assert pair.centroid == (1, 1) and block.centroid == (1, 6.5), "the first pixel has its centre at 0.5"
    assert block.share == 6 / 80
    assert block.probability == pytest.approx(confidence[5:8, 0:2].mean())
    assert can.probability == pytest.approx(confidence[labels() == 2].mean())
    np.testing.assert_array_equal(can.mask, labels()[1:6, 4:9] == 2)


def test_outline_is_in_coordinates_of_the_image() -> None:
    block = find_objects(labels(), CLASSES)[1]
    assert block.probability is None
    (ring,) = block.outline()
    assert {tuple(corner) for corner in ring.tolist()} == {(0, 5), (2, 5), (2, 8), (0, 8)}


def test_small_regions_background_and_ignored_pixels_are_no_objects() -> None:
    values = labels()
    values[0, 9] = 255
    assert [entry.area for entry in find_objects(values, CLASSES, min_area=6)] == [6, 23]
    assert find_objects(np.zeros((4, 4), np.uint8), CLASSES) == []
    assert [entry.name for entry in find_objects(np.zeros((4, 4), np.uint8), ClassScheme(("a", "b")))] == ["a"]
    two = ClassScheme(("a", "b"), ignore_index=0)
    assert find_objects(np.zeros((4, 4), np.uint8), two) == []


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        (labels()[None], None, r"^labels must be of one image, \(H, W\), got the shape \(1, 8, 10\): "),
        (labels(), np.ones((3, 8, 10), np.float32), r"^confidence must have the shape of the labels, \(8, 10\), got"),
        (labels() + np.uint8(1), None, r"^labels must be in 0\.\.2 or the ignored 255, got 3: "),
        (labels().astype(int) - 1, None, r"^labels must be in 0\.\.2 or the ignored 255, got -1: "),
    ],
)
@pytest.mark.parametrize("function", [find_objects, to_detections])
def test_arrays_that_do_not_fit_are_refused(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[..., object],
    values: np.ndarray,
    confidence: np.ndarray | None,
    message: str,
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", ModuleType("supervision"))  # refused before it is needed
    with pytest.raises(UserError, match=message):
        function(values, CLASSES, confidence)


def test_missing_opencv_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r'^cv2 is not installed: pip install "fanet\[seg\]"$'):
        find_objects(labels(), CLASSES)


def test_missing_supervision_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match=r'^supervision is not installed: pip install "fanet\[supervision\]"$'):
        to_detections(labels(), CLASSES)
