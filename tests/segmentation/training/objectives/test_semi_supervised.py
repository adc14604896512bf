"""Whole runs of the semi-supervised objectives."""

import csv
from functools import partial

import pytest
import torch
from safetensors import safe_open

from fanet.errors import UserError
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import train

from ..tiny_run import assert_same_weights, state, tiny_recipe

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
    page = (folder / "report.html").read_text()
    assert all(f"loss: {part}" in page for part in parts)


def test_images_without_labels_change_what_is_learned(whole, tmp_path):
    _, recipe, folder = whole
    recipe = recipe | {"data": recipe["data"] | {"unlabelled_split": "train"}}
    train(recipe, tmp_path / "other")
    one, other = (state(place)["model"] for place in (tmp_path / "other", folder))
    assert any(not torch.equal(value, other[key]) for key, value in one.items() if value.is_floating_point())


def test_a_folder_of_images_serves(whole, tmp_path):
    from PIL import Image

    name, recipe, _ = whole
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for index in range(2):
        Image.effect_noise((48, 40), 60).convert("RGB").save(tmp_path / "images" / "deep" / f"{index}.png")
    data = recipe["data"] | {"unlabelled_split": str(tmp_path / "images")}
    train(recipe | {"data": data, "train": recipe["train"] | {"iterations": 1}}, tmp_path / "run")
    assert (tmp_path / "run" / "final").is_dir()


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


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_compiled_objective_trains_like_another(tmp_path, monkeypatch, name):
    options = ["model.backbone=test_resnet", "model.backbone_kwargs={}", "augmentation.crop=[40, 40]"]
    train(recipe_of(name, *options), tmp_path / "eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    train(recipe_of(name, *options, "train.compile=true"), tmp_path / "compiled")
    eager, compiled = (state(tmp_path / run) for run in ("eager", "compiled"))
    for part in ("model", "objective"):
        torch.testing.assert_close(compiled[part], eager[part], rtol=1e-3, atol=1e-3)
