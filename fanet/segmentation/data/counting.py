"""How often each class occurs, and what training makes of it."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.data.parallel import parallel_map


def pixel_counts(dataset: SegmentationDataset, workers: int | None = None) -> np.ndarray:
    """Count the pixels of each class in every image: (N, num_classes) int64. It reads all labels, with a progress bar.

    Args:
        dataset: N images with labels.
        workers: Number of processes; by default one per core, and 1 reads in this process.

    Raises:
        UserError: A label file cannot be read.
    """
    count = partial(_counts_of, dataset)
    with parallel_map(count, len(dataset), "counting labels", "image", workers) as counts:
        return np.array(list(counts), dtype=np.int64).reshape(len(dataset), len(dataset.classes))


def _counts_of(dataset: SegmentationDataset, index: int) -> np.ndarray:
    return np.bincount(dataset.load_labels(index).ravel(), minlength=256)[: len(dataset.classes)]


def balanced_weights(counts: np.ndarray) -> list[float]:
    """Return a weight for each class, the larger the rarer it is: 1 / ln(1.02 + its share of all counted pixels).

    The weighting of ENet (Paszke, Chaurasia, Kim, Culurciello, arXiv:1606.02147, section 5.2): between 1.4, for a class
    that covers everything, and 50, for one that does not occur. A class with an index equal to the ignored label counts
    as absent.

    Args:
        counts: (N, num_classes), as `pixel_counts` returns them.
    """
    totals = counts.sum(axis=0)
    shares = totals / max(1, totals.sum())
    return [float(weight) for weight in 1 / np.log(1.02 + shares)]


def repeats(counts: np.ndarray, threshold: float) -> np.ndarray:
    """Return how often each image is shown in an epoch, on average, so that rare classes are seen more often: (N,).

    Repeat-factor sampling (Gupta, Dollár, Girshick: LVIS, CVPR 2019, section 4.2): a class that occurs in a share f of
    the images has the factor max(1, sqrt(threshold / f)), and an image the largest of its classes'.

    Args:
        counts: (N, num_classes), as `pixel_counts` returns them.
        threshold: Classes in a smaller share of the images are repeated, 0..1; 0 repeats none.
    """
    present = counts > 0
    shares = present.mean(axis=0)
    factors = np.sqrt(threshold / np.where(shares > 0, shares, 1)).clip(min=1)
    return np.where(present, factors, 1).max(axis=1, initial=1)


def epoch_order(repeats: Sequence[float] | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the images of an epoch in random order, each as often as its number in `repeats` says, rounded at random.

    The length is the sum of `repeats`, rounded down; with ones it is a permutation.
    """
    ends = np.cumsum(repeats)
    length = int(ends[-1] + 1e-9)  # sums of fractions fall short of whole numbers
    places = (np.arange(length) + rng.random()) * ends[-1] / length
    return rng.permutation(np.searchsorted(ends, places, side="right").clip(max=len(ends) - 1))
