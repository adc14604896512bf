"""Expected calibration error: whether a prediction is right as often as its probability says."""

from typing import Any

import numpy as np

from fanet.segmentation.evaluation.bootstrap import interval
from fanet.segmentation.evaluation.breakdown.base import Breakdown, Judged, percent

BINS = 15  # as in Guo et al., ICML 2017


class Calibration(Breakdown):
    """Pixels, those that are right, and the sum of the probabilities of the predicted classes, in bins of probability.

    The bins are equally wide, without their lower and with their upper end. The error is the mean over pixels of how
    far probability and accuracy differ in the bin of a pixel.
    """

    shape = (BINS, 3)
    dtype = np.float64

    def count(self, image: Judged) -> np.ndarray:
        counted = image.labels != self.classes.ignore_index
        confidence = image.confidence[counted].astype(np.float64)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        right = image.labels[counted] == image.prediction[counted]
        return np.stack([np.bincount(bins, what, minlength=BINS) for what in (None, right, confidence)], axis=1)

    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        total = counts.sum(axis=0)
        ends = interval(counts, lambda sums: calibration_error(sums)[:, None], resamples)
        low, high = (None, None) if ends is None else (percent(end) for end in ends[:, 0])
        bins = [
            {
                "from": index / BINS,
                "to": (index + 1) / BINS,
                "share_of_pixels": percent(pixels / total[:, 0].sum()),
                "confidence": percent(confidence / pixels),
                "accuracy": percent(right / pixels),
            }
            for index, (pixels, right, confidence) in enumerate(total)
            if pixels
        ]
        return {"ece": percent(float(calibration_error(total))), "ece_low": low, "ece_high": high, "bins": bins}


def calibration_error(counts: np.ndarray) -> np.ndarray:
    """Return the expected calibration error: (…, bins, 3) pixels, right ones, sums of probability -> (…) in 0..1"""
    pixels, right, confidence = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        return np.abs(confidence - right).sum(axis=-1) / pixels.sum(axis=-1)
