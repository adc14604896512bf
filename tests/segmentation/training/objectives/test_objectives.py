"""An objective with a parameter, a buffer and a stream of unlabelled images of its own."""

import csv
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from fanet.errors import UserError
from fanet.segmentation.training.objectives import OBJECTIVES, Objective
from fanet.segmentation.training.train import train

from ..tiny_run import TINY, assert_same_weights, state, tiny_recipe
from .toy import Toy

OPTIONS = ("objective.name=toy", "data.unlabelled_split=test")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "toy", Toy)


def assert_same_run(one, other):
    one, other = state(one), state(other)
    assert_same_weights(one, other)
    assert one["objective"].keys() == other["objective"].keys() == {"target", "scale", "seen", "steps"}
    for name, value in one["objective"].items():
        assert torch.equal(value, other["objective"][name]), name


@pytest.mark.parametrize(
    "options",
    [
        ("optimizer.name=adamw", "optimizer.lr=1e-3"),
        ("optimizer.name=muon", "train.accumulation_steps=2"),
    ],
)
def test_a_crashed_run_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, at_step, options):
    def crash():
        raise RuntimeError("power cut")

    recipe = tiny_recipe(*OPTIONS, *options, "train.iterations=4", "evaluation.every=2")
    train(recipe, tmp_path / "whole")
    at_step(3, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "crashed")
    before = state(tmp_path / "crashed")["objective"]
    assert before["steps"] == 2
    train(recipe, tmp_path / "crashed", resume=True)
    assert_same_run(tmp_path / "crashed", tmp_path / "whole")
    after = state(tmp_path / "crashed")["objective"]
    assert after["steps"] == 4
    for name in ("target", "scale", "seen"):
        assert before[name].any() and not torch.equal(before[name], after[name]), f"{name} does not move"


def test_parameters_of_ones_own_train_like_the_networks(tmp_path):
    train(tiny_recipe(*OPTIONS, "train.iterations=2", "optimizer.layer_decay=0.7"), tmp_path)
    optimizer = state(tmp_path)["optimizer"]
    flat, matrix = optimizer["param_groups"][-2:]
    assert len(flat["params"]) == len(matrix["params"]) == 1
    assert (flat["weight_decay"], matrix["weight_decay"]) == (0, 0.05), "none on what has no two dimensions"
    networks = next(group for group in optimizer["param_groups"] if group.get("lr_scale") == 1)
    assert flat["lr"] == matrix["lr"] == networks["lr"]
    assert all(optimizer["state"][index] for index in (*flat["params"], *matrix["params"]))


def test_images_without_labels_are_as_many_and_others_even_from_the_same_split(tmp_path):
    batches = []

    class Watched(Toy):
        def forward(self, images, labels, unlabelled=None):
            batches.append((images, unlabelled))
            return super().forward(images, labels, unlabelled)

    OBJECTIVES["toy"] = Watched
    options = ["data.unlabelled_split=train", "train.iterations=2", "data.in_memory=false", "data.workers=1"]
    train(tiny_recipe("objective.name=toy", *options), tmp_path)
    assert len(batches) == 2
    for images, unlabelled in batches:
        assert unlabelled.shape == images.shape and not torch.equal(unlabelled, images)


def test_a_missing_split_is_an_error_of_one_line(tmp_path):
    with pytest.raises(UserError, match="^toy needs images without labels: set data.unlabelled_split$"):
        train(tiny_recipe("objective.name=toy"), tmp_path)
    with pytest.raises(UserError, match="no split 'nowhere'") as caught:
        train(tiny_recipe("objective.name=toy", "data.unlabelled_split=nowhere"), tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_an_unknown_objective_is_an_error_that_names_those_there_are(tmp_path):
    with pytest.raises(UserError, match="^objective.name must be supervised or cct or reco or toy, got 'magic'$"):
        train(tiny_recipe("objective.name=magic"), tmp_path)


def test_a_supervised_run_keeps_no_state_of_its_own_and_gets_no_unlabelled_images(finished):
    assert state(finished[0])["objective"] == {}


def test_an_objective_without_forward_says_what_it_lacks():
    with pytest.raises(NotImplementedError, match=r"Objective must define forward\(images, labels, unlabelled\)"):
        Objective(torch.nn.Identity(), None)(torch.zeros(1), torch.zeros(1))


def test_a_compiled_objective_trains_like_another(tmp_path, monkeypatch):
    recipe = [
        "model.backbone=test_resnet",
        "model.backbone_kwargs={}",
        "train.iterations=2",
        "augmentation.crop=[40, 40]",
        "optimizer.name=sgd",  # its steps differ as little as the gradients, in which rounding differs
        "train.amp=none",
    ]
    train(tiny_recipe(*OPTIONS, *recipe), tmp_path / "eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    train(tiny_recipe(*OPTIONS, *recipe, "train.compile=true"), tmp_path / "compiled")
    eager, compiled = (state(tmp_path / name) for name in ("eager", "compiled"))
    assert eager["model"].keys() == compiled["model"].keys()
    for part in ("model", "objective"):
        torch.testing.assert_close(compiled[part], eager[part], rtol=1e-3, atol=1e-4)


def test_two_processes_follow_the_loss_of_one(tmp_path):
    options = [*OPTIONS, "train.iterations=3", "evaluation.every=1", "train.ema_decay=0", "model.backbone_kwargs={}"]
    train(tiny_recipe(*options, "train.accumulation_steps=2"), tmp_path / "one")
    script = tmp_path / "two.py"
    script.write_text(
        "from toy import Toy\n"
        "from fanet.cli import main\n"
        "from fanet.segmentation.training.objectives import OBJECTIVES\n"
        "OBJECTIVES['toy'] = Toy\n"
        f"raise SystemExit(main({['train', 'clutter', *TINY, *options, '-o', str(tmp_path / 'two')]!r}))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [list(csv.DictReader((tmp_path / name / "log.csv").read_text().splitlines())) for name in ("one", "two")]
    one, two = ([float(row["loss"]) for row in read] for read in rows)
    assert len(one) == 3 and two == pytest.approx(one, rel=1e-4)
    one, two = (state(tmp_path / name)["objective"] for name in ("one", "two"))
    assert two["steps"] == 3
    for name in ("target", "scale"):
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5)
