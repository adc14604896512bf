"""IoU in bands around the borders of the truth, and boundary IoU."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import needs_extra
from fanet.segmentation.evaluation.breakdown.base import Breakdown, Judged, check_bounds, groups_between, iou_scores

with needs_extra("seg", "cv2"):
    import cv2

#: Pixels: labels are rarely more exact than the first, and few errors of a border reach further than the last.
BORDER_BANDS = (2.0, 5.0, 10.0)
#: Breadth of the boundary, as a share of the image's diagonal: that of Cheng et al.
BOUNDARY_SHARE = 0.02


class BorderBands(Breakdown):
    """Hits, true and predicted pixels of every class, by the distance of a pixel to the nearest one of another class.

    Distances are in pixels, a diagonal step is one. Ignored pixels are of no class, and the edge of the image is no
    border. Every pixel that is not ignored is in one band: the counts add up to those of the whole image.

    Args:
        classes: What the labels mean.
        bounds: The largest distance in each band, in pixels; one more band has all pixels beyond.

    Raises:
        UserError: The bounds are not ascending.
    """

    def __init__(self, classes: ClassScheme, bounds: Sequence[float] = BORDER_BANDS) -> None:
        super().__init__(classes)
        self.bounds = check_bounds(bounds, "bands around borders, in pixels,", math.inf)
        self.shape = (len(self.bounds) + 1, 3, len(classes))

    def count(self, image: Judged) -> np.ndarray:
        labels, prediction = image.labels, image.prediction
        counted = labels != self.classes.ignore_index
        bands = np.searchsorted(self.bounds, border_distance(labels, self.classes.ignore_index)[counted])
        places = bands * len(self.classes)
        hit = labels[counted] == prediction[counted]
        parts = (
            (places + labels[counted])[hit],
            places + labels[counted],
            places + prediction[counted],
        )
        size = self.shape[0] * len(self.classes)
        counts = np.stack([np.bincount(part, minlength=size) for part in parts])
        return counts.reshape(3, self.shape[0], -1).swapaxes(0, 1)

    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        total = counts[:, :, 1].sum(dtype=np.int64)
        groups = []
        for index, group in enumerate(groups_between(self.bounds, 1, "px")):
            in_band = counts[:, index]
            share = float(100 * in_band[:, 1].sum(dtype=np.int64) / total) if total else None
            groups.append({**group, "share_of_pixels": share, **iou_scores(in_band, self.classes, resamples)})
        return {"unit": "pixels to the nearest of another class", "groups": groups}


class BoundaryIou(Breakdown):
    """Boundary IoU (Cheng et al., CVPR 2021): the IoU of what is within reach of the outlines of truth and prediction.

    The boundary of a class are its pixels within 2 % of the image's diagonal, diagonal steps being one, of a pixel that
    is not of the class; beyond the image none is. Unlike in the bands around the true borders, large errors far from
    them count, and the inside of large objects does not.
    """

    def __init__(self, classes: ClassScheme) -> None:
        super().__init__(classes)
        self.shape = (3, len(classes))

    def count(self, image: Judged) -> np.ndarray:
        counts = np.zeros(self.shape, dtype=np.int64)
        for index in np.union1d(image.labels, image.prediction).tolist():
            if index < len(self.classes):
                truth, predicted = boundary(image.labels == index), boundary(image.prediction == index)
                counts[:, index] = [np.count_nonzero(part) for part in (truth & predicted, truth, predicted)]
        return counts

    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        return {"share_of_diagonal": BOUNDARY_SHARE, **iou_scores(counts, self.classes, resamples)}


def border_distance(labels: np.ndarray, ignore_index: int) -> np.ndarray:
    """Return how far each pixel is from the nearest one of another class, (H, W) float32; inf without another class.

    Args:
        labels: Class indices or `ignore_index`, (H, W) uint8.
        ignore_index: The ignored label, which is no class; its pixels have no distance: nan.
    """
    distance = np.full(labels.shape, np.nan, dtype=np.float32)
    for index in np.unique(labels[labels != ignore_index]).tolist():
        own = labels == index
        others = ~own & (labels != ignore_index)
        if others.any():
            distance[own] = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_C, 3)[own]
        else:
            distance[own] = np.inf
    return distance


def boundary(mask: np.ndarray, share: float = BOUNDARY_SHARE) -> np.ndarray:
    """Return the pixels of a mask (H, W) bool within `share` of the image's diagonal, at least one, of its outline."""
    reach = max(1, round(share * math.hypot(*mask.shape)))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    inside = cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inside == 0)
