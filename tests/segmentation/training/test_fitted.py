"""A training takes the minutes that were asked for, at a size that fits the objects."""

from dataclasses import replace

import pytest

from fanet.errors import UserError
from fanet.segmentation.training import fitted
from fanet.segmentation.training.fitted import crop_of, fit_recipe, fit_to_minutes, fitted_sections, working_side
from fanet.segmentation.training.trial import Trial

COST = Trial(
    0.5, 4.0, 6.0, peak_mb=2000.0, mb_per_sample=100.0, free_mb=8000.0, samples_per_step=8, iterations=9, evaluations=1
)


@pytest.mark.parametrize("minutes", [1, 10, 240])
@pytest.mark.parametrize("step", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("evaluation", [0.01, 2.0, 14.0])
@pytest.mark.parametrize("start", [0.5, 12.0])
def test_training_takes_the_minutes(minutes, step, evaluation, start):
    length = fit_to_minutes(minutes, step, evaluation, start)
    evaluations = -(-length.iterations // length.every)
    seconds = start + length.iterations * step + evaluations * evaluation
    assert seconds == pytest.approx(length.seconds) == pytest.approx(60 * minutes, rel=0.25)
    assert 1 <= evaluations <= 5 and 0 < length.warmup < length.iterations
    assert evaluations == 5 or evaluations * evaluation <= 0.25 * 60 * minutes or evaluations == 1


def test_too_few_minutes_are_refused():
    with pytest.raises(UserError, match=r"--minutes 0.1 is too short: .* give --minutes 1 or more"):
        fit_recipe(fitted_sections([(48, 64)], []), 0.1, lambda sections: COST)


def test_batch_shrinks_until_it_fits_into_memory():
    tried = []

    def attempt(sections: dict) -> Trial:
        tried.append(sections["train"]["batch_size"])
        return replace(COST, peak_mb=1000 * tried[-1], free_mb=500)

    recipe, _ = fit_recipe(fitted_sections([(48, 64)], []), 10, attempt)
    assert tried == [8, 4, 2] and recipe["train"]["batch_size"] == 2


def test_recipe_has_all_that_differs():
    sections = fitted_sections([(480, 640)] * 10, [0.1] * 20, val="dev")
    recipe, length = fit_recipe(sections, 10, lambda sections: COST)
    assert recipe["data"]["val_split"] == "dev" and recipe["augmentation"]["fit"] == recipe["evaluation"]["fit"]
    assert recipe["train"]["iterations"] == length.iterations and recipe["evaluation"]["every"] == length.every
    assert recipe["scheduler"]["warmup_iterations"] == length.warmup


@pytest.mark.parametrize(
    ("longer", "objects", "side"),
    [
        (4000, [0.1] * 20, 480),
        (4000, [], 480),
        (4000, [0.02] * 20, 800),
        (4000, [0.001] * 20, 960),
        (600, [0.02] * 20, 608),
        (4000, [0.9] * 20, 320),
        (4000, [0.24] * 20, 416),
        (200, [0.1] * 20, 224),
        (20, [0.1] * 20, 32),
    ],
)
def test_size_follows_the_objects(longer, objects, side):
    assert working_side([(longer // 2, longer)] * 3, objects) == side


@pytest.mark.parametrize(
    ("side", "size", "crop"),
    [
        (480, (480, 640), [256, 256]),
        (800, (480, 640), [320, 320]),
        (480, (100, 1000), [64, 256]),
        (480, (1000, 100), [256, 64]),
        (64, (64, 64), [64, 64]),
    ],
)
def test_images_fill_the_crop(side, size, crop):
    assert crop_of(side, [size] * 3) == crop


@pytest.mark.parametrize(("free", "in_memory"), [(50_000_000, True), (49_000_000, False)])
def test_data_is_kept_in_memory_if_there_is_room(monkeypatch, free, in_memory):
    monkeypatch.setattr(fitted, "free_memory", lambda: free)
    data = fitted_sections([(480, 640)] * 10, [])["data"]  # 12.3 MB
    assert data["in_memory"] is in_memory and (data["workers"] == 0) is in_memory
