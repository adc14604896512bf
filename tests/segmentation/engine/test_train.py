import csv
import itertools
import json
import os
import signal

import numpy as np
import pytest
import torch
import yaml

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.recipes import load_recipe
from fanet.segmentation import UperNet
from fanet.segmentation.data.clutter import ClutterPool
from fanet.segmentation.engine.evaluate import evaluate
from fanet.segmentation.engine.schedule import learning_rate
from fanet.segmentation.engine.train import Trainer, train

TINY = (
    "model.backbone=test_fanet",
    "model.backbone_kwargs.drop_path_rate=0.2",  # so that a lost random state shows
    "model.head_channels=8",
    "model.aux_channels=8",
    "model.dropout=0.1",
    "data.count=4",
    "data.size=[40, 40]",
    "data.crop=[32, 32]",
    "train.iterations=6",
    "train.batch_size=2",
    "scheduler.warmup_iterations=1",
    "evaluation.every=4",
    "evaluation.count=2",
    "evaluation.size=[40, 40]",
)


def tiny_recipe(*overrides):
    return load_recipe("clutter", [*TINY, *overrides])


@pytest.fixture
def at_step(monkeypatch):
    """Has something happen at the start of a step, once."""

    def install(iteration, action):
        step, once = Trainer._step, itertools.count()

        def patched(trainer, *args):
            if trainer.progress.iteration == iteration and next(once) == 0:
                action()
            return step(trainer, *args)

        monkeypatch.setattr(Trainer, "_step", patched)

    return install


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing disturbed: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(tiny_recipe(), folder)


def state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


def read_log(folder):
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


def assert_same_weights(one, other):
    for part in ("model", "ema"):
        assert one[part].keys() == other[part].keys()
        for name in one[part]:
            assert torch.equal(one[part][name], other[part][name]), f"{part}: {name}"


def test_run_leaves_all_it_promises(finished):
    folder, result = finished
    contents = {"best", "environment.json", "final", "last.pt", "log.csv", "recipe.yaml"}
    assert {path.name for path in folder.iterdir()} == contents
    assert yaml.safe_load((folder / "recipe.yaml").read_text()) == tiny_recipe()
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"] == torch.__version__.split("+")[0]
    rows = read_log(folder)
    assert [row["iteration"] for row in rows] == ["4", "6"], "the last iteration is evaluated too"
    assert result["iteration"] == 6
    assert result["miou"] == pytest.approx(float(rows[-1]["miou"]))
    assert result["best_miou"] == pytest.approx(max(float(row["miou"]) for row in rows))


def test_final_model_is_the_evaluated_average_of_the_weights(finished):
    folder, result = finished
    model = UperNet.from_pretrained(folder / "final")
    averaged = state(folder)["ema"]
    assert all(torch.equal(value, averaged[name]) for name, value in model.state_dict().items())
    held_out = ClutterPool(2, seed=1000003, size=40, difficulty=0.2)
    scores = evaluate(model, held_out.images, held_out.labels).to_dict(ZEROWASTE.names)
    assert scores["miou"] == pytest.approx(result["miou"], abs=0.1)


def test_weights_move_and_their_average_lags(finished):
    initial = UperNet.from_pretrained(finished[0] / "final").train()
    last = state(finished[0])
    name = "decode_head.conv_seg.weight"
    assert not torch.equal(last["model"][name], last["ema"][name])
    assert torch.equal(initial.state_dict()[name], last["ema"][name])


@pytest.mark.parametrize("iteration", [4, 5])
def test_run_resumed_after_a_crash_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, finished, at_step, iteration):
    def crash():
        raise RuntimeError("power cut")

    at_step(iteration, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny_recipe(), tmp_path)
    result = train(tiny_recipe(), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))
    assert result["miou"] == finished[1]["miou"]
    loss = [[row["loss"] for row in read_log(folder)] for folder in (tmp_path, finished[0])]
    assert loss[0] == loss[1]


def test_interrupt_finishes_the_step_and_the_run_can_go_on(tmp_path, finished, at_step):
    handler = signal.getsignal(signal.SIGINT)
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        train(tiny_recipe(), tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    kept = state(tmp_path)["progress"]["iteration"]
    assert kept in (3, 4), "the step in which it came is finished"
    train(tiny_recipe(), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))


def test_finished_run_can_be_resumed_and_stays_as_it_is(finished):
    before = state(finished[0])
    result = train(tiny_recipe(), finished[0], resume=True)
    assert result["miou"] == finished[1]["miou"]
    assert_same_weights(state(finished[0]), before)


def test_other_seed_gives_other_weights(tmp_path, finished):
    train(tiny_recipe("train.seed=1", "train.iterations=2"), tmp_path)
    name = "decode_head.conv_seg.weight"
    assert not torch.equal(state(tmp_path)["model"][name], state(finished[0])["model"][name])


def test_loss_that_is_no_number_stops_the_run_and_names_the_checkpoint(tmp_path):
    recipe = tiny_recipe("optimizer.lr=1e30", "train.clip_grad=0", "evaluation.every=1", "train.iterations=20")
    with pytest.raises(UserError, match=r"in iteration \d+: lower optimizer.lr; the last good checkpoint is .*last.pt"):
        train(recipe, tmp_path)
    assert state(tmp_path)["progress"]["iteration"] >= 1


def test_loss_that_is_no_number_before_any_checkpoint(tmp_path, monkeypatch):
    nan = torch.full((), float("nan"))
    monkeypatch.setattr("fanet.segmentation.engine.train.segmentation_loss", lambda *args: nan)
    with pytest.raises(UserError, match="the loss became nan in iteration 0.*no checkpoint yet"):
        train(tiny_recipe(), tmp_path)


def test_folder_with_contents_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty.*--resume"):
        train(tiny_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=fanet_pink", "fanet_pink"),
        ("model.backbone_kwargs.colour=pink", "colour"),
        ("optimizer.name=adamm", "no optimizer 'adamm'"),
    ],
)
def test_mistake_in_the_recipe_leaves_the_folder_free_for_another_attempt(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_recipe(override), tmp_path)
    assert not list(tmp_path.iterdir())


def test_resuming_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="nothing to resume.*last.pt"):
        train(tiny_recipe(), tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_resuming_from_a_broken_checkpoint_is_refused(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"half a file")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        train(tiny_recipe(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [("optimizer.lr=1e-3", "optimizer.lr was 0.003 and is 0.001"), ("model.backbone_kwargs.frm=high", "frm was None")],
)
def test_resuming_with_another_recipe_names_the_key(finished, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_recipe(override), finished[0], resume=True)


# 64 pixels for bf16: on 1 x 1 maps oneDNN's bf16 weight gradient of a strided depthwise convolution reads memory that
# nothing was written to (torch 2.14).
@pytest.mark.parametrize(
    "options",
    [
        ("train.amp=bf16", "data.size=[64, 64]", "data.crop=[64, 64]"),
        ("train.channels_last=false", "model.aux_channels=0", "train.clip_grad=0"),
    ],
)
def test_options_train(tmp_path, options):
    result = train(tiny_recipe("train.iterations=2", *options), tmp_path)
    assert result["iteration"] == 2
    assert all(value.isfinite().all() for value in state(tmp_path)["model"].values())


def test_weight_decay_spares_parameters_with_one_dimension(tmp_path, finished):
    groups = state(finished[0])["optimizer"]["param_groups"]
    assert sorted(group["weight_decay"] for group in groups) == [0, 0.05]
    spared = next(group["params"] for group in groups if group["weight_decay"] == 0)
    model = UperNet.from_pretrained(finished[0] / "final")
    assert len(spared) == sum(parameter.ndim <= 1 for parameter in model.parameters())


def test_learning_rate_warms_up_and_falls_to_its_minimum():
    rates = [learning_rate(i, 100, peak=1.0, warmup_iterations=10, minimum=0.01) for i in range(101)]
    assert rates[0] == pytest.approx(1 / 11)
    assert max(rates) == rates[10] == 1
    assert rates[55] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert (np.diff(rates[:11]) > 0).all()
    assert (np.diff(rates[10:]) < 0).all()
    assert learning_rate(0, 100, peak=1.0) == 1, "without warm-up the first step is a full one"


def test_evaluation_counts_every_pixel_once_and_keeps_the_mode():
    model = UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=8).train()
    pool = ClutterPool(3, seed=1, size=40)
    matrix = evaluate(model, pool.images, pool.labels, batch_size=2)
    assert model.training
    assert matrix.matrix.sum(axis=1).tolist() == np.bincount(pool.labels.ravel(), minlength=5).tolist()
    model.eval()
    predicted = model.predict(pool.images[2])
    alone = evaluate(model, pool.images[2:], pool.labels[2:])
    assert alone.matrix.sum(axis=0).tolist() == np.bincount(predicted.ravel(), minlength=5).tolist()
