import time

import pytest

from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.training import trial as trial_module
from fanet.segmentation.training.trial import Trial, try_steps

from .tiny_run import TINY, tiny_recipe


def test_a_trial_measures_steps_and_evaluations_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trial = try_steps(tiny_recipe("train.accumulation_steps=2"), steps=2)
    assert (trial.iterations, trial.evaluations, trial.samples_per_step) == (6, 2, 1)
    assert 0 < trial.seconds_per_step < 60 and 0 < trial.seconds_per_evaluation < 60 and trial.peak_mb > 100
    assert not list(tmp_path.iterdir())


def test_a_trial_goes_on_for_the_seconds_asked_but_not_for_ever(monkeypatch):
    taken = []
    monkeypatch.setattr(trial_module, "take_step", lambda *_: taken.append(time.sleep(0.02)))
    step = try_steps(tiny_recipe(), steps=1, seconds=0.2).seconds_per_step
    assert 4 <= len(taken) <= 1 + 10 and 0.02 <= step < 0.2
    taken.clear()
    try_steps(tiny_recipe(), steps=1, seconds=60.0)
    assert len(taken) == 100


def test_total_and_largest_batch_follow_from_what_was_measured():
    trial = Trial(0.5, 10, 30, 2000, 100, 5000, 8, 600, 3)
    assert trial.total_seconds == 30 + 300 + 30
    assert trial.largest_batch == 8 + 40
    assert Trial(0.5, 10, 30, 2000, 0, 0, 8, 600, 3).largest_batch == 8


def test_dry_run_prints_what_to_expect_and_needs_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "clutter", *TINY, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert (
        "a step of 2 crops of 32x32:" in out and "6 steps and 2 evaluations: about" in out and "fit into memory" in out
    )
    assert not list(tmp_path.iterdir())


def test_training_without_a_folder_is_refused_in_one_line(capsys):
    assert main(["train", "clutter", *TINY]) == 2
    assert "give a folder, -o DIR" in capsys.readouterr().err


def test_a_trial_refuses_what_training_would():
    with pytest.raises(UserError, match="must be a multiple of"):
        try_steps(tiny_recipe("train.accumulation_steps=3"))
