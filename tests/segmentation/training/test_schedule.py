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


# ZeroWaste's authors' DeepLabv3+, in Detectron2
STEP = Schedule("step", 10000, 0.01, warmup_iterations=1000, warmup_ratio=0.001, steps=(2000, 4000, 6000, 9000))


@pytest.mark.parametrize(
    "iteration, rate",
    [
        (0, 1e-5),
        (500, 0.01 * (0.001 + 0.999 / 2)),
        (1000, 0.01),
        (1999, 0.01),
        (2000, 1e-3),
        (6000, 1e-5),
        (9999, 1e-6),
    ],
)
def test_step_schedule_lowers_the_rate_at_its_steps(iteration, rate):
    assert STEP(iteration) == pytest.approx(rate)


def test_step_schedule_never_goes_below_its_minimum():
    assert Schedule("step", 10, 1.0, minimum=0.05, steps=(2, 4), step_factor=0.1)(9) == 0.05
