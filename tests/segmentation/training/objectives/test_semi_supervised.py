"""Whole runs of the semi-supervised objectives."""

import csv
import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from fanet.errors import UserError
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import train

from ..tiny_run import TINY, assert_same_weights, state, tiny_recipe

NAMES = ("cct", "reco")
SHORT = (
    "optimizer.name=adamw",
    "optimizer.lr=1e-3",
    "train.iterations=3",
    "evaluation.every=2",
    "augmentation.crop=[24, 32]",
    "objective.auxiliary_decoders=7",
)


def recipe_of(name, *overrides):
    return tiny_recipe(f"objective.name={name}", "data.unlabelled_split=test", *SHORT, *overrides)


@pytest.fixture(scope="module", params=NAMES)
def whole(request, tmp_path_factory):
    """A run that uses much of the trainer, and its recipe."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    recipe = recipe_of(request.param, "train.amp=bf16", "train.accumulation_steps=2")
    train(recipe, folder)
    return request.param, recipe, folder


def test_killed_run_is_resumed_to_the_same_result(whole, tmp_path, at_step):
    _, recipe, folder = whole

    def crash():
        raise RuntimeError("power cut")

    at_step(2, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "crashed")
    before = state(tmp_path / "crashed")["objective"]
    train(recipe, tmp_path / "crashed", resume=True)
    one, other = state(tmp_path / "crashed"), state(folder)
    assert_same_weights(one, other)
    assert one["objective"].keys() == other["objective"].keys() == before.keys()
    assert all(torch.equal(value, other["objective"][name]) for name, value in one["objective"].items())
    assert any(not torch.equal(value, other["objective"][name]) for name, value in before.items())
    logs = [(place / "log.csv").read_text().splitlines() for place in (tmp_path / "crashed", folder)]
    one, other = ([{**row, "seconds": ""} for row in csv.DictReader(log)] for log in logs)
    assert one == other


def test_trained_model_holds_nothing_of_the_objective(whole):
    _, _, folder = whole
    with safe_open(folder / "final" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names <= state(folder)["model"].keys()
    assert {name.split(".")[0] for name in names} == {"backbone", "decode_head", "auxiliary_head"}


def test_parts_of_the_loss_are_in_log_and_report(whole):
    name, _, folder = whole
    parts = {"cct": ["supervised", "consistency"], "reco": ["supervised", "pseudo_labels", "contrast"]}[name]
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    assert [int(row["iteration"]) for row in rows] == [2, 3]
    for row in rows:
        assert [key for key in row if key.startswith("loss_")] == [f"loss_{part}" for part in parts]
        assert sum(float(row[f"loss_{part}"]) for part in parts) == pytest.approx(float(row["loss"]), rel=1e-4)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(f"loss: {part}" in page for part in parts)


def test_images_without_labels_from_any_folder_change_what_is_learned(whole, tmp_path):
    _, recipe, folder = whole
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for index in range(2):
        Image.effect_noise((48, 40), 60).convert("RGB").save(tmp_path / "images" / "deep" / f"{index}.png")
    train(recipe | {"data": recipe["data"] | {"unlabelled_split": str(tmp_path / "images")}}, tmp_path / "other")
    one, other = (state(place)["model"] for place in (tmp_path / "other", folder))
    assert any(not torch.equal(value, other[key]) for key, value in one.items() if value.is_floating_point())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.unlabelled_split=null", "needs images without labels: set data.unlabelled_split"),
        ("data.unlabelled_split=EMPTY", "empty has no images: name another folder"),
        (
            "data.unlabelled_split=nowhere",
            "there is no split 'nowhere', only train, val, test, and no folder of images",
        ),
    ],
)
def test_missing_images_are_an_error_of_one_line_before_anything_is_written(tmp_path, name, override, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        train(recipe_of(name, override.replace("EMPTY", str(tmp_path / "empty"))), tmp_path / "run")
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", ["0", "{}", "{blur: 3}", "{vat: 0}"])
def test_unsuitable_decoders_are_refused(value):
    with pytest.raises(
        UserError, match="objective.auxiliary_decoders must be a number above 0, or .* some of vat, dro"
    ):
        Settings.from_recipe(recipe_of("cct", f"objective.auxiliary_decoders={value}"))


# the graph breaks where chance decides, and torch looks at the gradient of every tensor that crosses the break
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiled_objective_trains_like_another(tmp_path, monkeypatch, name):
    options = ["model.backbone=test_resnet", "model.backbone_kwargs={}", "augmentation.crop=[40, 40]"]
    options += ["optimizer.name=sgd", "train.amp=none"]  # rounding, which differs, stays small
    train(recipe_of(name, *options), tmp_path / "eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    train(recipe_of(name, *options, "train.compile=true"), tmp_path / "compiled")
    eager, compiled = (state(tmp_path / run) for run in ("eager", "compiled"))
    for part in ("model", "objective"):
        torch.testing.assert_close(compiled[part], eager[part], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_follow_the_loss_of_one(tmp_path, name):
    options = [
        *SHORT,
        f"objective.name={name}",
        "data.unlabelled_split=test",
        "evaluation.every=1",
        "train.ema_decay=0",
    ]
    train(tiny_recipe(*options, "train.accumulation_steps=2"), tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "fanet"]
    command += ["train", "clutter", *TINY, *options, "-o", str(tmp_path / "two")]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (list(csv.DictReader((tmp_path / run / "log.csv").read_text().splitlines())) for run in ("one", "two"))
    losses = [key for key in one[0] if key.startswith("loss")]
    assert len(one) == len(two) == 3 and len(losses) > 2
    # ReCo's teacher has the batch norm of the first process, and that of one process has seen both micro-batches
    for first, second, tolerance in zip(one, two, (1e-4, 0.05, 0.05), strict=True):
        assert [float(second[key]) for key in losses] == pytest.approx(
            [float(first[key]) for key in losses], rel=tolerance
        )
