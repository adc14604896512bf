"""What a breakdown counts of an image, and the scores that follow from the counts of all of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.evaluation.bootstrap import interval
from fanet.segmentation.evaluation.metrics import scores_of


@dataclass(frozen=True)
class Judged:
    """An image's truth and what was predicted for it.

    Attributes:
        labels: True classes or the ignored label, (H, W) uint8.
        prediction: Predicted classes, (H, W) uint8; the ignored label wherever the truth is ignored.
        confidence: Probability of the predicted class, (H, W) float32.
    """

    labels: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, prediction: np.ndarray, confidence: np.ndarray, ignore_index: int) -> "Judged":
        """Build it from a prediction that says something about ignored pixels, too."""
        return cls(labels, np.where(labels == ignore_index, np.uint8(ignore_index), prediction), confidence)


class Breakdown(ABC):
    """Counts of an image that are summed over images, so that memory does not grow with the size of images.

    Attributes:
        classes: What the labels mean.
        shape: Shape of the counts of an image.
        dtype: Their type.
    """

    shape: tuple[int, ...]
    dtype: type = np.int32  # no image has 2^31 pixels; those of many images with many classes are many numbers

    def __init__(self, classes: ClassScheme) -> None:
        self.classes = classes

    @abstractmethod
    def count(self, image: Judged) -> np.ndarray:
        """Return the counts of an image, of `shape`."""

    @abstractmethod
    def scores(self, counts: np.ndarray, resamples: int) -> dict[str, Any]:
        """Return the scores in %, with 95 % intervals over images, ready for JSON.

        Args:
            counts: Those of all images, (N, …).
            resamples: Number of bootstrap resamples; 0 for no intervals.
        """


def iou_scores(margins: np.ndarray, classes: ClassScheme, resamples: int) -> dict[str, Any]:
    """Return mean IoU and the IoU of every class in %, each with the ends of its interval; None where there is none.

    Args:
        margins: Hits, true and predicted pixels of each class in each image, (N, 3, num_classes).
        classes: Their names.
        resamples: Number of bootstrap resamples.
    """
    ends = interval(margins, scores_of, resamples)
    rows = [scores_of(margins.sum(axis=0, dtype=np.int64)), *([None, None] if ends is None else ends)]
    found: dict[str, Any] = {}
    for suffix, row in zip(("", "_low", "_high"), rows, strict=True):
        values = [None] * (len(classes) + 1) if row is None else [percent(value) for value in row]
        found[f"miou{suffix}"] = values[-1]
        found[f"iou{suffix}"] = dict(zip(classes.names, values, strict=False))
    return found


def percent(value: float) -> float | None:
    """Return a score in %, None if it does not exist."""
    return None if np.isnan(value) else 100 * float(value)


def check_bounds(bounds: Sequence[float], what: str, largest: float) -> tuple[float, ...]:
    """Return bounds between groups.

    Raises:
        UserError: They are not above 0, ascending and at most `largest`.
    """
    found = tuple(float(bound) for bound in bounds)
    ascending = all(low < high for low, high in zip((0.0, *found), found, strict=False))
    if not found or not ascending or not found[-1] <= largest:
        limit = "" if np.isinf(largest) else f" and at most {largest:g}"
        given = " ".join(f"{bound:g}" for bound in found)
        raise UserError(f"{what} must be numbers above 0{limit}, in ascending order, got {given}")
    return found


def groups_between(bounds: Sequence[float], scale: float, unit: str) -> list[dict[str, Any]]:
    """Return the name of each group, and where it starts and ends; the last has no end.

    Args:
        bounds: Between the groups, ascending.
        scale: Factor from the bounds to what is named.
        unit: Unit of what is named.
    """
    shown = [f"{scale * bound:.3g}" for bound in bounds]
    names = [f"up to {shown[0]} {unit}"]
    names += [f"{low} to {high} {unit}" for low, high in zip(shown, shown[1:], strict=False)]
    names.append(f"above {shown[-1]} {unit}")
    ends = zip(names, (0.0, *bounds), (*bounds, None), strict=True)
    return [{"name": name, "from": start, "to": end} for name, start, end in ends]
