"""The objects of a label map: its connected regions, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, needs_extra
from fanet.segmentation.prediction.outlines import import_cv2, outline_of


@dataclass(frozen=True, eq=False)
class SegmentedObject:
    """A connected region of one class. Coordinates are in pixels from the upper left corner of the image, so the centre
    of its first pixel is (0.5, 0.5).

    Attributes:
        label: Index of its class.
        name: Name of its class.
        area: Number of pixels.
        share: Share of the image's pixels, 0..1.
        centroid: Mean x and y of its pixels.
        box: Left edge, upper edge, width and height of the smallest box around it.
        mask: Which pixels of the box belong to it, (height, width) bool.
        probability: Mean probability of its class over its pixels, 0..1; None if it is not known.
    """

    label: int
    name: str
    area: int
    share: float
    centroid: tuple[float, float]
    box: tuple[int, int, int, int]
    mask: np.ndarray
    probability: float | None = None

    def outline(self, tolerance: float = 0.0) -> list[np.ndarray]:
        """Return the ring around the object and one around each of its holes, (N, 2) of x, y.

        Args:
            tolerance: As for `fanet.segmentation.prediction.outlines.outline_of`, which describes the rings.
        """
        return [ring + self.box[:2] for ring in outline_of(self.mask, tolerance)]


def find_objects(
    labels: np.ndarray, classes: ClassScheme, confidence: np.ndarray | None = None, min_area: int = 1
) -> list[SegmentedObject]:
    """Find the connected regions of a label map, class by class. Pixels are connected by sides and by corners.

    The background, if a class is called so, and pixels with the ignored label are no objects.

    Args:
        labels: (H, W) uint8 class indices, as `SegmentationModel.predict` returns them.
        classes: What they mean.
        confidence: Probability of each pixel's class, (H, W), as `Predictor.labels_and_confidence` returns it.
        min_area: Smaller regions are left out, in pixels.

    Raises:
        UserError: OpenCV is not installed, an array has another shape, or a label is neither a class nor the ignored
            one.
    """
    _check(labels, classes, confidence)
    return list(_objects(labels, classes, confidence, min_area))


def to_detections(
    labels: np.ndarray, classes: ClassScheme, confidence: np.ndarray | None = None, min_area: int = 1
) -> Any:
    """Return the objects of a label map as `supervision.Detections`: boxes, masks, class indices and names.

    The masks are of the image's size, so their memory is that of the image for every object.

    Args:
        labels: As for `find_objects`.
        classes: As for `find_objects`.
        confidence: As for `find_objects`; gives the detections' `confidence`.
        min_area: As for `find_objects`.

    Raises:
        UserError: supervision is not installed, or as for `find_objects`.
    """
    with needs_extra("supervision", "supervision"):
        import supervision
    objects = find_objects(labels, classes, confidence, min_area)
    masks = np.zeros((len(objects), *labels.shape), dtype=bool)
    boxes = np.zeros((len(objects), 4), dtype=np.float32)
    for entry, mask, box in zip(objects, masks, boxes, strict=True):
        left, top, width, height = entry.box
        mask[top : top + height, left : left + width] = entry.mask
        box[:] = left, top, left + width, top + height
    return supervision.Detections(
        xyxy=boxes,
        mask=masks,
        confidence=None if confidence is None else np.array([entry.probability for entry in objects], np.float32),
        class_id=np.array([entry.label for entry in objects], dtype=int),
        data={"class_name": np.array([entry.name for entry in objects], dtype=str)},
    )


def _check(labels: np.ndarray, classes: ClassScheme, confidence: np.ndarray | None) -> None:
    if labels.ndim != 2:
        raise UserError(f"labels must be of one image, (H, W), got the shape {labels.shape}: give images one by one")
    if confidence is not None and confidence.shape != labels.shape:
        raise UserError(
            f"confidence must have the shape of the labels, {labels.shape}, got {confidence.shape}: "
            "give the probability of each pixel's class"
        )
    unknown = labels[((labels < 0) | (labels >= len(classes))) & (labels != classes.ignore_index)]
    if unknown.size:
        raise UserError(
            f"labels must be in 0..{len(classes) - 1} or the ignored {classes.ignore_index}, got {unknown[0]}: "
            "give the classes that the labels were made with"
        )


def _objects(
    labels: np.ndarray, classes: ClassScheme, confidence: np.ndarray | None, min_area: int
) -> Iterator[SegmentedObject]:
    cv2 = import_cv2()
    for label, name in enumerate(classes.names):
        members = labels == label
        if label in (classes.background, classes.ignore_index) or not members.any():
            continue
        _, regions, statistics, centroids = cv2.connectedComponentsWithStats(members.view(np.uint8), connectivity=8)
        large = statistics[:, cv2.CC_STAT_AREA] >= min_area
        for region in (1 + np.flatnonzero(large[1:])).tolist():  # 0 is what is not of the class
            left, top, width, height, area = statistics[region].tolist()
            place = np.s_[top : top + height, left : left + width]
            mask = regions[place] == region
            x, y = centroids[region] + 0.5  # OpenCV's first pixel has its centre at 0
            yield SegmentedObject(
                label=label,
                name=name,
                area=area,
                share=area / labels.size,
                centroid=(float(x), float(y)),
                box=(left, top, width, height),
                mask=mask,
                probability=None if confidence is None else float(confidence[place][mask].mean(dtype=np.float64)),
            )
