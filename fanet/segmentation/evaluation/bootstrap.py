"""The bootstrap over images: how much another choice of images from the same source would change a score."""

from collections.abc import Callable, Iterator

import numpy as np

_DRAWS = 1 << 19  # numbers of draws of an image that are held at a time
_ENDS = (2.5, 97.5)  # percentiles of a 95 % interval


def resampled_sums(counts: np.ndarray, resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield the sums of the counts of N images, drawn with replacement, of one resample after another.

    The same number of images and the same seed draw the same images, so that two models can be compared on them.

    Args:
        counts: What is summed, (N, …).
        resamples: Number of resamples.
        seed: Seed of the draws.

    Yields:
        Blocks (R, …) float64, in which whole numbers below 2^53 are exact; `resamples` rows in all.
    """
    images, shape = len(counts), counts.shape[1:]
    rng = np.random.default_rng(seed)
    flat = counts.reshape(images, -1).astype(np.float64)
    block = max(_DRAWS // images, 1)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        weights = rng.multinomial(images, np.full(images, 1 / images), size=size)
        yield (weights.astype(np.float64) @ flat).reshape(size, *shape)


def interval(
    counts: np.ndarray, score: Callable[[np.ndarray], np.ndarray], resamples: int = 1000, seed: int = 0
) -> np.ndarray | None:
    """Compute 95 % intervals of scores by the bootstrap over images.

    Each resample draws as many images as there are, with replacement, and adds up their counts; the interval is from
    the 2.5th to the 97.5th percentile of the resamples' scores. It covers another choice of images from the same
    source, not another training run. Frames of one video are more alike than it assumes, so for them it is too narrow.

    Args:
        counts: Those of every image, (N, …).
        score: Sums of counts (R, …) -> scores (R, S); nan for one that does not exist.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        (2, S), lower and upper ends, nan where a score exists in no resample; None for fewer than two images or no
        resamples.
    """
    if len(counts) < 2 or resamples < 1:
        return None
    return percentiles(np.concatenate([score(sums) for sums in resampled_sums(counts, resamples, seed)]))


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the ends of the 95 % intervals of resampled scores, (R, S) -> (2, S), nan for a score without values."""
    ends = np.full((2, values.shape[1]), np.nan)
    exists = ~np.isnan(values).all(axis=0)
    ends[:, exists] = np.nanpercentile(values[:, exists], _ENDS, axis=0)
    return ends
