"""IoU by the size of objects: connected regions of the truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import needs_extra
from fanet.segmentation.evaluation.breakdown.base import Breakdown, Judged, check_bounds, groups_between, iou_scores

with needs_extra("seg", "cv2"):
    import cv2

#: COCO's bounds between small, medium and large, 32x32 and 96x96 pixels of an image of 640x480, as shares of its area:
#: so they mean the same in an image of any resolution.
OBJECT_SIZES = (1 / 300, 3 / 100)


class ObjectSizes(Breakdown):
    """Hits, true and predicted pixels of every class, and the number of objects, by the size of objects.

    An object is a connected region of the truth, diagonals included, of any class but the background. A predicted
    region, too, belongs to one size, so that pixels which are predicted but not true count where they came from: that
    of the object of its class that it covers most of, or its own if it covers none. Over all sizes, the counts of a
    class add up to those of the whole image.

    Args:
        classes: What the labels mean.
        bounds: Between sizes, as shares of the image's area.

    Raises:
        UserError: The bounds are not ascending shares.
    """

    def __init__(self, classes: ClassScheme, bounds: Sequence[float] = OBJECT_SIZES) -> None:
        super().__init__(classes)
        self.bounds = check_bounds(bounds, "sizes of objects, as shares of the image,", 1.0)
        self.shape = (len(self.bounds) + 1, 4, len(classes))

    def count(self, image: Judged) -> np.ndarray:
        counts = np.zeros(self.shape, dtype=np.int64)
        for index in np.union1d(image.labels, image.prediction).tolist():
            if index < len(self.classes) and index != self.classes.background:
                counts[:, :, index] = self._of_class(image.labels == index, image.prediction == index)
        return counts

    def _of_class(self, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        """Count one class: masks (H, W) -> (sizes, 4)"""
        objects, object_areas = _regions(truth)
        regions, region_areas = _regions(prediction)
        object_size, size = self._size(object_areas, truth.size), self._size(region_areas, truth.size)
        hits = objects[truth & prediction]
        codes, covered = np.unique(
            regions[truth & prediction].astype(np.int64) * len(object_areas) + hits, return_counts=True
        )
        order = np.argsort(covered, kind="stable")  # of the objects of a region, the one most covered is written last
        size[codes[order] // len(object_areas)] = object_size[codes[order] % len(object_areas)]
        hit = self._sum(object_size, np.bincount(hits, minlength=len(object_areas)))
        wrong = self._sum(size, np.bincount(regions[prediction & ~truth], minlength=len(region_areas)))
        return np.stack(
            [hit, self._sum(object_size, object_areas), hit + wrong, self._sum(object_size, object_areas > 0)], axis=1
        )

    def _size(self, areas: np.ndarray, pixels: int) -> np.ndarray:
        return np.searchsorted(np.array(self.bounds) * pixels, areas, side="left")

    def _sum(self, sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(sizes, weights=values, minlength=self.shape[0]).astype(np.int64)

    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        groups = []
        for index, group in enumerate(groups_between(self.bounds, 100, "% of the image")):
            of_size = counts[:, index]
            objects = int(of_size[:, 3].sum(dtype=np.int64))
            groups.append({**group, "objects": objects, **iou_scores(of_size[:, :3], self.classes, resamples)})
        return {"unit": "share of the image's area", "groups": groups}


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected regions of a mask (H, W): numbers from 1, 0 outside, and their areas, 0 for number 0."""
    count, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    areas = np.bincount(regions.ravel(), minlength=count)
    areas[0] = 0
    return regions, areas
