"""From counts of drawn units to a threshold under which a purity holds: the statistics of `fanet calibrate`.

A *unit* is what is drawn independently: an image, or a recording. Of unit i, `called_i(t)` is the share of the image's
area that a class is called at the threshold t, and `right_i(t)` the part of it that is the class; of a recording they
are means over its images. The purity at t is E[right(t)] / E[called(t)], so it is at least p if and only if the mean of

    loss_i(t) = (called_i(t) − right_i(t)) − (1 − p) called_i(t)

is not positive. That is tested as in *Learn then Test* (Angelopoulos, Bates, Candès, Jordan and Lei, 2021), with
bets instead of Hoeffding's inequality (Waudby-Smith and Ramdas, *Estimating means of bounded random variables by
betting*, 2020): where the mean loss is not negative, the product of 1 − stake · loss_i over independent units has a
mean of at most 1, so it exceeds 1/alpha with a probability of at most alpha (Markov).

Three things make that possible with hundreds of units instead of thousands:

- A random quarter of the units, the pilot, says how much of an image the class may cover, where the tests begin, and
  how much is staked; the others test. All of that is fixed when they do.
- A loss is at most p times the share that the class covers. So the promise is one for units in which the class covers,
  above the threshold, no more than a quarter more than in any unit of the pilot; others do not count.
- From there thresholds are tested one after another, down to none, until one fails (fixed-sequence testing). The first
  wrong rejection has a probability of at most alpha, however many tests there are.
"""

import math
from dataclasses import dataclass

import numpy as np

STEPS = 80
#: Thresholds, ascending: 0, then denser and denser towards 1, twenty to each factor of ten in 1 − t.
LEVELS = (1 - 10.0 ** (-np.arange(STEPS + 1) / 20)).astype(np.float32)

_PILOT = 4  # one unit of so many is in the pilot
_WIDER = 1.25  # than the largest share of the pilot's: few new images are beyond that
_SEED = 0  # of that choice
_STAKES = np.linspace(0.05, 0.95, 19)  # as shares of the largest stake with which nothing can be lost but the capital
_LOWER = (0.99, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)


@dataclass(frozen=True)
class Found:
    """What the units say about a class.

    Attributes:
        level: Index of its threshold in `LEVELS`; None if there is none.
        largest: The promise is about images of which the class covers no more than this share at its threshold.
        growth: Logarithm of the factor by which a unit grew the capital, on average, where it grew most.
    """

    level: int | None
    largest: float
    growth: float


def find_threshold(
    called: np.ndarray, right: np.ndarray, share: np.ndarray, purity: float, alpha: float, seed: int = _SEED
) -> Found:
    """Find the lowest threshold at which a class is promised to have a purity.

    If the units are independent draws, the probability that it has not, among units in which the class covers no more
    than `largest`, is at most alpha.

    Args:
        called: Share of unit i that is called the class at `LEVELS[j]`, where it is known what is right: (U, levels).
        right: The part of it that is the class, (U, levels).
        share: The most that the class covers of an image of unit i, (U, levels): no less than `called`.
        purity: Above 0 and below 1.
        alpha: Above 0 and below 1.
        seed: Seed of the choice of the pilot.
    """
    order = np.random.default_rng(seed).permutation(len(called))
    pilot, rest = np.split(order, [len(order) // _PILOT])
    if not len(pilot) or not share[pilot].any():
        return Found(None, 0.0, 0.0)
    largest = np.minimum(_WIDER * share[pilot].max(axis=0), 1.0)  # (levels,)
    loss = np.where(share <= largest, (called - right) - (1 - purity) * called, 0.0)
    unit = 1 / (purity * np.where(largest > 0, largest, 1.0))
    growth = np.stack([np.log1p(-stake * unit * loss[pilot]).mean(axis=0) for stake in _STAKES])  # (stakes, levels)
    level = start = int(growth.max(axis=0).argmax())
    stake = _STAKES[growth.argmax(axis=0)] * unit
    capital = np.log1p(-stake * loss[rest]).sum(axis=0)
    enough = capital >= -math.log(alpha)
    while level >= 0 and enough[level]:
        level -= 1
    passed = None if level == start else level + 1
    return Found(passed, float(largest[passed or 0]), float(capital.max()) / len(rest))


def find_thresholds(
    called: np.ndarray, right: np.ndarray, shares: np.ndarray, purity: float, confidence: float
) -> list[Found]:
    """Find the thresholds of K classes, for all of which together the promise holds with a confidence (Bonferroni).

    Args:
        called: (U, K, levels), as for `find_threshold`.
        right: (U, K, levels).
        shares: (U, K, levels).
        purity: Above 0 and below 1.
        confidence: Above 0 and below 1.
    """
    count = called.shape[1]
    alpha = (1 - confidence) / count
    return [find_threshold(called[:, k], right[:, k], shares[:, k], purity, alpha) for k in range(count)]


def purity_within_reach(
    called: np.ndarray, right: np.ndarray, share: np.ndarray, purity: float, alpha: float
) -> float | None:
    """Return the largest of a few lower purities for which the units give a threshold; None if there is none.

    Arguments as for `find_threshold`.
    """
    lower = (value for value in _LOWER if value < purity)
    return next((p for p in lower if find_threshold(called, right, share, p, alpha).level is not None), None)


def units_needed(found: Found, alpha: float) -> int | None:
    """Guess how many units would give a class a threshold, from how fast the capital grew; None if it did not."""
    if found.growth <= 0:
        return None
    return math.ceil(-math.log(alpha) / found.growth * _PILOT / (_PILOT - 1)) + 1
