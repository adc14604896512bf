import numpy as np
import pytest

from fanet.segmentation.evaluation.purity.counts import Counts
from fanet.segmentation.evaluation.purity.promise import (
    LEVELS,
    find_threshold,
    find_thresholds,
    purity_within_reach,
    units_needed,
)

ALPHA = 0.05


def _draw(rng: np.random.Generator, count: int, bad: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of very different kinds: most almost pure, a share `bad` of them large and wrong at any probability.

    Of what is called, half is above 0.9, and purer there.
    """
    share = rng.beta(1, 4, count)
    is_bad = rng.random(count) < bad
    share[is_bad] = 0.6
    sure = np.where(is_bad, 0.0, 0.99)
    unsure = np.where(is_bad, 0.0, rng.beta(8, 2, count))
    above = LEVELS >= np.float32(0.9)
    called = share[:, None] * np.where(above, 0.5, 1.0)
    right = share[:, None] * np.where(above, 0.5 * sure[:, None], 0.5 * (sure + unsure)[:, None])
    return called, right, called


def _purity(called: np.ndarray, right: np.ndarray, share: np.ndarray, level: int, largest: float) -> float:
    within = share[:, level] <= largest
    return right[within, level].sum() / called[within, level].sum()


@pytest.mark.parametrize("bad", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("purity", [0.8, 0.93])
def test_the_promise_is_kept_however_much_images_differ(bad: float, purity: float) -> None:
    rng = np.random.default_rng(0)
    population = _draw(rng, 20_000, bad)
    broken = 0
    for _ in range(100):
        found = find_threshold(*_draw(rng, 300, bad), purity, ALPHA)
        if found.level is not None:
            broken += bool(_purity(*population, found.level, found.largest) < purity)
    assert broken <= 0.05 * 100


def test_images_without_bad_ones_get_the_lower_threshold() -> None:
    rng = np.random.default_rng(1)
    found = find_threshold(*_draw(rng, 1000, 0.0), 0.93, ALPHA)
    assert found.level is not None and 0.8 < LEVELS[found.level] <= 0.9, "below 0.9 the purity is 0.9"
    assert find_threshold(*_draw(rng, 1000, 0.0), 0.8, ALPHA).level == 0, "all of it is pure enough"


def test_the_capital_is_that_of_the_plain_product() -> None:
    called, right, share = _draw(np.random.default_rng(2), 60, 0.0)
    found = find_threshold(called, right, share, 0.8, ALPHA)
    order = np.random.default_rng(0).permutation(60)
    pilot, rest = order[:15], order[15:]
    best = -np.inf
    for level in range(len(LEVELS)):
        largest = min(1.0, 1.25 * max(share[i, level] for i in pilot))
        if level == found.level:
            assert found.largest == pytest.approx(largest)
        loss = [
            called[i, level] - right[i, level] - 0.2 * called[i, level] if share[i, level] <= largest else 0.0
            for i in range(60)
        ]
        stakes = [stake / (0.8 * largest) for stake in np.linspace(0.05, 0.95, 19)]
        stake = max(stakes, key=lambda stake: sum(np.log(1 - stake * loss[i]) for i in pilot))
        best = max(best, sum(np.log(1 - stake * loss[i]) for i in rest))
    assert found.growth * len(rest) == pytest.approx(best)


def test_few_pure_images_promise_no_more_than_they_can() -> None:
    called = np.full((80, len(LEVELS)), 0.2)
    assert find_threshold(called, called, called, 0.95, ALPHA).level is None, "one in eighty may be wrong altogether"
    assert find_threshold(called, called, called, 0.9, ALPHA).level == 0
    assert purity_within_reach(called, called, called, 0.95, ALPHA) == 0.9
    needed = units_needed(find_threshold(called, called, called, 0.95, ALPHA), ALPHA)
    assert needed is not None
    more, fewer = (np.full((count, len(LEVELS)), 0.2) for count in (needed, needed - 8))
    assert find_threshold(more, more, more, 0.95, ALPHA).level == 0
    assert find_threshold(fewer, fewer, fewer, 0.95, ALPHA).level is None


def test_a_class_that_is_never_called_or_always_wrong_has_no_threshold() -> None:
    nothing = np.zeros((100, len(LEVELS)))
    assert find_threshold(nothing, nothing, nothing, 0.9, ALPHA).level is None
    called = np.full((100, len(LEVELS)), 0.1)
    found = find_threshold(called, nothing, called, 0.9, ALPHA)
    assert found.level is None and units_needed(found, ALPHA) is None
    assert purity_within_reach(called, nothing, called, 0.9, ALPHA) is None


def test_the_confidence_is_shared_by_the_classes() -> None:
    called = np.full((60, 1, len(LEVELS)), 0.2)
    assert find_thresholds(called, called, called, 0.9, 0.95)[0].level == 0
    many = np.repeat(called, 100, axis=1)
    assert [found.level for found in find_thresholds(many, many, many, 0.9, 0.95)] == [None] * 100


def test_a_recording_weighs_as_much_as_any_other() -> None:
    called = np.arange(4 * 2 * 3, dtype=float).reshape(4, 2, 3)
    images = Counts(called, called / 2, called, ())
    recordings = images.by_group(["b", "a", "b", "b"])
    np.testing.assert_array_equal(recordings.called, [called[[0, 2, 3]].mean(axis=0), called[1]])
    np.testing.assert_array_equal(recordings.right, recordings.called / 2)
    np.testing.assert_array_equal(recordings.shares, [called[3], called[1]])
