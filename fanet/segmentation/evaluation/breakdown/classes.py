"""The IoU of every class, with an interval."""

from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.segmentation.evaluation.breakdown.base import Breakdown, Judged, iou_scores


class ByClass(Breakdown):
    """Counts of hits, true and predicted pixels of every class, (3, num_classes)."""

    def __init__(self, classes: ClassScheme) -> None:
        super().__init__(classes)
        self.shape = (3, len(classes))

    def count(self, image: Judged) -> np.ndarray:
        hit = image.prediction[image.prediction == image.labels]
        return np.stack(
            [
                np.bincount(labels.ravel(), minlength=256)[: len(self.classes)]
                for labels in (hit, image.labels, image.prediction)
            ]
        )

    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        return iou_scores(counts, self.classes, resamples)
