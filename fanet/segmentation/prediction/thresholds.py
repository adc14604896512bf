"""Thresholds on probability that `fanet calibrate` stores with a model, and what they are good for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.segmentation.prediction.likeness import TOO_MUCH, Range, are_outside, statistics

#: The key under which they are stored, in `config.json` and in exported files.
THRESHOLDS = "thresholds"


@dataclass(frozen=True)
class PurityThresholds:
    """The least probability with which a pixel is called a class, for each class.

    With `confidence` over the draw of the images that they were found on, at least the share `purity` of what is called
    a class is it, for all classes together: on images like those, of which no class covers more than `largest`.

    Attributes:
        purity: The share that was asked for, above 0 and below 1.
        confidence: How often the promise holds, above 0 and below 1.
        least: The threshold of each class, in 0..1; None for a class that cannot be promised, which is never called.
        largest: The largest share of an image, 0..1, that each class may cover above its threshold for the promise to
            be about that image.
        ranges: Lowest and highest value of each statistic of `likeness.statistics` in those images.
        window: Height and width of the sliding window with which they were found; None for the whole image.
        origin: The data set, its split, the number of images and of units that were drawn, and what the units are.
    """

    purity: float
    confidence: float
    least: tuple[float | None, ...]
    largest: tuple[float, ...]
    ranges: Mapping[str, Range]
    window: tuple[int, int] | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, labels: np.ndarray, probability: np.ndarray, ignore_index: int) -> np.ndarray:
        """Return labels, (H, W) uint8, with the ignored label wherever the class is not probable enough.

        Args:
            labels: The most probable class of every pixel, (H, W) uint8.
            probability: Its probability, (H, W) float32.
            ignore_index: The ignored label.
        """
        least = np.array([np.inf if value is None else value for value in self.least], dtype=np.float32)
        return np.where(probability >= least[labels], labels, np.uint8(ignore_index))

    def differences(
        self, image: np.ndarray, labels: np.ndarray, probability: np.ndarray, classes: ClassScheme
    ) -> list[str]:
        """Return in what an image differs from those that the thresholds were found on; empty if in nothing.

        Args:
            image: (H, W, C) uint8.
            labels: What `apply` returned, (H, W) uint8.
            probability: The largest probability of every pixel, (H, W) float32.
            classes: The model's classes.
        """
        shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
        too_much = [
            TOO_MUCH.format(name)
            for name, share, largest in zip(classes.names, shares, self.largest, strict=False)
            if share > largest
        ]
        return are_outside(statistics(image, probability), self.ranges) + too_much

    def to_dict(self) -> dict[str, Any]:
        """Return them ready for JSON."""
        return asdict(self) | {"ranges": {key: list(ends) for key, ends in self.ranges.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], num_classes: int) -> "PurityThresholds":
        """Build them from what `to_dict` returned.

        Raises:
            KeyError, TypeError, ValueError: An entry is missing or makes no sense.
        """
        least = tuple(None if value is None else _share(value) for value in values["least"])
        largest = tuple(map(_share, values["largest"]))
        if not len(least) == len(largest) == num_classes:
            raise ValueError(f"there are {len(least)} thresholds for {num_classes} classes")
        window = values.get("window")
        return cls(
            purity=_share(values["purity"]),
            confidence=_share(values["confidence"]),
            least=least,
            largest=largest,
            ranges={key: (_finite(low), _finite(high)) for key, (low, high) in values["ranges"].items()},
            window=None if window is None else (int(_finite(window[0])), int(_finite(window[1]))),
            origin=dict(values.get("origin", {})),
        )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} among the thresholds is no number to compare with")
    return number


def _share(value: Any) -> float:
    number = _finite(value)
    if not 0 <= number <= 1:
        raise ValueError(f"{number:g} among the thresholds is not in 0..1")
    return number
