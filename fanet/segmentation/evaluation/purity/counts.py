"""What is counted of every calibration image: how much of it is called a class at each threshold, and is it."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from fanet.errors import UserError
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.purity.promise import LEVELS
from fanet.segmentation.prediction.likeness import statistics
from fanet.segmentation.prediction.predictor import Predictor
from fanet.threads import map_ahead


@dataclass(frozen=True)
class Counts:
    """The counts of N images with K classes, as shares of their area; or of recordings, as means over their images.

    Attributes:
        called: Share that is called a class at each of `LEVELS`, where the truth is not ignored: (N, K, levels).
        right: The part of it that is the class, (N, K, levels).
        shares: The most that a class covers of an image at each of `LEVELS`, ignored pixels included: (N, K, levels).
        statistics: What `likeness.statistics` returns, of every image.
    """

    called: np.ndarray
    right: np.ndarray
    shares: np.ndarray
    statistics: Sequence[dict[str, float]]

    def by_group(self, groups: Sequence[Hashable]) -> "Counts":
        """Return the counts of groups of images, each of which weighs as much as any other.

        Args:
            groups: The group of each image.
        """
        numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
        of_image = np.array([numbers[group] for group in groups])
        members = [of_image == number for number in range(len(numbers))]
        called, right = (
            np.stack([values[member].mean(axis=0) for member in members]) for values in (self.called, self.right)
        )
        shares = np.stack([self.shares[member].max(axis=0) for member in members])
        return Counts(called, right, shares, self.statistics)


def count_images(predictor: Predictor, dataset: SegmentationDataset, workers: int = 2) -> Counts:
    """Predict every image, and count.

    Args:
        predictor: A model without thresholds.
        dataset: N labelled images.
        workers: Number of threads that read images ahead.

    Raises:
        UserError: A sample cannot be read, has no labels, or has a size that the model's backbone does not take.
    """
    shape = (len(dataset), len(dataset.classes), len(LEVELS))
    called, right, shares = (np.zeros(shape, np.float32) for _ in range(3))
    found = []
    samples = map_ahead(dataset.__getitem__, range(len(dataset)), workers)
    for index, sample in enumerate(tqdm(samples, desc="calibrate", total=len(dataset), unit="image", disable=None)):
        if sample.labels is None:
            raise UserError(f"{sample.name} has no labels to compare a prediction with")
        labels, probability = predictor.labels_and_confidence(sample.image)
        shares[index] = _above(labels.ravel(), probability.ravel(), shape[1]) / labels.size
        is_known = sample.labels != dataset.classes.ignore_index
        called[index] = _above(labels[is_known], probability[is_known], shape[1]) / labels.size
        is_right = is_known & (sample.labels == labels)
        right[index] = _above(labels[is_right], probability[is_right], shape[1]) / labels.size
        found.append(statistics(sample.image, probability))
    return Counts(called, right, shares, found)


def _above(labels: np.ndarray, probability: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the pixels of each class at each of `LEVELS` and above: (num_classes, levels)."""
    level = np.searchsorted(LEVELS, probability, side="right") - 1
    counts = np.bincount(labels.astype(np.intp) * len(LEVELS) + level, minlength=num_classes * len(LEVELS))
    return counts.reshape(num_classes, -1)[:, ::-1].cumsum(axis=1)[:, ::-1]
