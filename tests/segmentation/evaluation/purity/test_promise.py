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
    return called, right, share


def _purity(called: np.ndarray, right: np.ndarray, share: np.ndarray, largest: float) -> np.ndarray:
    within = share <= largest
    return right[within].sum(axis=0) / called[within].sum(axis=0)


@pytest.mark.parametrize("bad", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("purity", [0.8, 0.93])
def test_the_promise_is_kept_however_much_images_differ(bad: float, purity: float) -> None:
    rng = np.random.default_rng(0)
    population = _draw(rng, 20_000, bad)
    broken = 0
    for _ in range(100):
        found = find_threshold(*_draw(rng, 300, bad), purity, ALPHA)
        if found.level is not None:
            broken += bool(_purity(*population, found.largest)[found.level] < purity)
    assert broken <= 0.05 * 100


def test_images_without_bad_ones_get_the_lower_threshold() -> None:
    rng = np.random.default_rng(1)
    found = find_threshold(*_draw(rng, 1000, 0.0), 0.93, ALPHA)
    assert found.level is not None and 0.8 < LEVELS[found.level] <= 0.9, "below 0.9 the purity is 0.9"
    assert find_threshold(*_draw(rng, 1000, 0.0), 0.8, ALPHA).level == 0, "all of it is pure enough"


def test_the_capital_is_that_of_the_plain_product() -> None:
    rng = np.random.default_rng(2)
    called, right, share = _draw(rng, 60, 0.0)
    found = find_threshold(called, right, share, 0.8, ALPHA)
    order = np.random.default_rng(0).permutation(60)
    pilot, rest = order[:15], list(order[15:])
    rest.remove(max(rest, key=lambda index: share[index]))
    bound = max(share[order[15:]])
    assert found.largest == bound
    best = -np.inf
    for level in range(len(LEVELS)):
        growth = {}
        for stake in np.linspace(0.05, 0.95, 19):
            lost = [called[i, level] - right[i, level] - 0.2 * called[i, level] for i in pilot]
            scale = stake / (0.8 * max(bound, share[pilot].max()))
            growth[stake] = np.mean([np.log(1 - scale * each) for each in lost])
        stake = max(growth, key=lambda key: growth[key]) / (0.8 * bound)
        losses = [called[i, level] - right[i, level] - 0.2 * called[i, level] for i in rest]
        best = max(best, float(np.sum(np.log(1 - stake * np.array(losses)))))
    assert found.growth * len(rest) == pytest.approx(best)


def test_fifty_pure_images_promise_nothing_that_fifty_cannot() -> None:
    share = np.full(50, 0.2)
    called = np.repeat(share[:, None], len(LEVELS), axis=1)
    assert find_threshold(called, called, share, 0.95, ALPHA).level is None, "one in fifty may be wrong altogether"
    assert find_threshold(called, called, share, 0.9, ALPHA).level == 0
    assert purity_within_reach(called, called, share, 0.95, ALPHA) == 0.9
    found = find_threshold(called, called, share, 0.95, ALPHA)
    needed = units_needed(found, ALPHA)
    assert needed is not None
    more = np.repeat(called[:1], needed, axis=0)
    assert find_threshold(more, more, more[:, 0], 0.95, ALPHA).level == 0
    assert find_threshold(more[:-8], more[:-8], more[:-8, 0], 0.95, ALPHA).level is None


def test_a_class_that_is_never_called_or_always_wrong_has_no_threshold() -> None:
    nothing = np.zeros((100, len(LEVELS)))
    assert find_threshold(nothing, nothing, nothing[:, 0], 0.9, ALPHA).level is None
    called = np.full((100, len(LEVELS)), 0.1)
    found = find_threshold(called, nothing, called[:, 0], 0.9, ALPHA)
    assert found.level is None and units_needed(found, ALPHA) is None
    assert purity_within_reach(called, nothing, called[:, 0], 0.9, ALPHA) is None


def test_the_confidence_is_shared_by_the_classes() -> None:
    called = np.full((60, 1, len(LEVELS)), 0.2)
    shares = np.full((60, 1), 0.2)
    assert find_thresholds(called, called, shares, 0.92, 0.95)[0].level == 0
    many = find_thresholds(*(np.repeat(each, 20, axis=1) for each in (called, called, shares)), 0.92, 0.95)
    assert [found.level for found in many] == [None] * 20


def test_a_recording_weighs_as_much_as_any_other() -> None:
    called = np.arange(4 * 2 * 3, dtype=float).reshape(4, 2, 3)
    images = Counts(called, called / 2, called[:, :, 0], ())
    recordings = images.by_group(["b", "a", "b", "b"])
    np.testing.assert_array_equal(recordings.called, [called[[0, 2, 3]].mean(axis=0), called[1]])
    np.testing.assert_array_equal(recordings.right, recordings.called / 2)
    np.testing.assert_array_equal(recordings.shares, [called[3, :, 0], called[1, :, 0]])
