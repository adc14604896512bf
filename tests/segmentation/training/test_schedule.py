import pytest

from fanet.segmentation.training.schedule import Schedule

COSINE = Schedule("cosine", iterations=110, peak=1.0, minimum=0.1, warmup_iterations=10)
# the authors' configuration for ZeroWaste-f
POLY = Schedule("poly", 40000, 9e-5, minimum=1e-7, warmup_iterations=1500, warmup_ratio=1e-6, power=0.95)


@pytest.mark.parametrize("iteration, rate", [(0, 1 / 11), (9, 10 / 11), (10, 1.0), (60, 0.55), (110, 0.1)])
def test_cosine_schedule_matches_its_formula(iteration, rate):
    assert COSINE(iteration) == pytest.approx(rate)


@pytest.mark.parametrize(
    "iteration, rate",
    [
        (0, 9e-5 * 1e-6),
        (750, (1e-7 + (9e-5 - 1e-7) * (1 - 750 / 40000) ** 0.95) * (1e-6 + (1 - 1e-6) / 2)),
        (1500, 1e-7 + (9e-5 - 1e-7) * (1 - 1500 / 40000) ** 0.95),
        (40000, 1e-7),
    ],
)
def test_polynomial_schedule_matches_its_formula(iteration, rate):
    assert POLY(iteration) == pytest.approx(rate)


def test_first_rate_without_warm_up_is_the_peak():
    assert Schedule("poly", 10, 1.0)(0) == Schedule("cosine", 10, 1.0)(0) == 1.0
