from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import ModelCard

from fanet.cli import main
from fanet.publishing import publish
from fanet.segmentation import UperNet
from fanet.weights import WeightsError, convert

from .hub_stand_in import Fault, Hub

ARGUMENTS: dict[str, Any] = dict(
    img_size=96, input_size=None, in_chans=None, crop_pct=0.95, interpolation="bilinear", mean=None, std=None,
    epochs=300, opt="adamw", lr=1e-3, weight_decay=0.05, batch_size=80, world_size=16, grad_accum_steps=1,
    model_ema=False, eval_metric="top1", clip_grad=None,
)  # fmt: skip


def _checkpoint(path: Path, averaged: bool = False, **arguments: Any) -> Path:
    """What train.py saves, with other weights in the moving average than in the network."""
    models = [timm.create_model("test_fanet", num_classes=7) for _ in range(2)]
    content = {
        "epoch": 299,
        "arch": "test_fanet",
        "state_dict": models[0].state_dict(),
        "optimizer": {},
        "version": 2,
        "args": Namespace(**ARGUMENTS | arguments),
        "metric": 81.25,
    }
    torch.save(content | ({"state_dict_ema": models[1].state_dict()} if averaged else {}), path)
    return path


def test_images_are_prepared_as_in_the_evaluations_of_the_training(tmp_path: Path) -> None:
    convert(_checkpoint(tmp_path / "last.pth.tar"), tmp_path / "model")
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    config = timm.data.resolve_data_config({}, model=model)
    assert tuple(config["input_size"]) == (3, 96, 96)
    assert (config["crop_pct"], config["interpolation"]) == (0.95, "bilinear")
    assert tuple(model.pretrained_cfg["pool_size"]) == (3, 3)
    assert model.num_classes == 7


@pytest.mark.parametrize("averaged", [False, True])
def test_converted_weights_are_those_that_train_py_evaluated(averaged: bool, tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "last.pth.tar", averaged)
    publish(path, tmp_path / "model")
    evaluated = torch.load(path, weights_only=False)["state_dict_ema" if averaged else "state_dict"]
    model = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, evaluated[name]), name


@pytest.mark.parametrize("form", ["checkpoint", "converted"])
def test_checkpoint_becomes_the_backbone_of_a_segmentation_model(form: str, tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "last.pth.tar")
    weights = path
    if form == "converted":
        publish(path, tmp_path / "model")
        weights = tmp_path / "model" / "model.safetensors"
    net = UperNet("test_fanet", num_classes=5, backbone_weights=weights)
    stem = torch.load(path, weights_only=False)["state_dict"]["stem.weight"]
    assert any(torch.equal(parameter, stem) for parameter in net.backbone.parameters())


def test_one_command_converts_writes_the_card_and_pushes(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    source, target = str(_checkpoint(tmp_path / "model_best.pth.tar")), tmp_path / "model"
    options = ["--push", "me/fanet", "--dataset", "ImageNet-1K", "--license", "apache-2.0"]
    assert main(["convert", source, str(target), *options]) == 0
    assert f"pushed: {hub.url}/me/fanet" in capsys.readouterr().out
    assert sorted(hub.files("me/fanet") or {}) == ["README.md", "config.json", "model.safetensors"]
    card = ModelCard.load(hub.root / "me" / "fanet" / "README.md")
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_name) == (81.25, "ImageNet-1K")
    assert card.data.license == "apache-2.0"
    for part in ("hf-hub:me/fanet", "Top-1 81.25 %", "| epochs | 300 |", "| global batch | 1280 |"):
        assert part in card.text
    assert "clip" not in card.text and "ema" not in card.text
    pulled = timm.create_model("hf-hub:me/fanet", pretrained=True, cache_dir=cache)
    assert pulled.num_classes == 7


def test_card_on_the_hub_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    path = _checkpoint(tmp_path / "last.pth.tar")
    publish(path, tmp_path / "first", "me/fanet")
    (hub.root / "me" / "fanet" / "README.md").write_text("by hand")
    publish(path, tmp_path / "second", "me/fanet")
    assert (hub.root / "me" / "fanet" / "README.md").read_text() == "by hand"


def test_failed_push_is_reported_and_the_folder_stays(hub: Hub, tmp_path: Path) -> None:
    hub.faults = [Fault("/commit/", status=403)]
    with pytest.raises(WeightsError, match="cannot push to the Hub repository me/fanet"):
        publish(_checkpoint(tmp_path / "last.pth.tar"), tmp_path / "model", "me/fanet")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [dict(model_ema=True, model_ema_force_cpu=True), dict(eval_metric="loss")])
def test_card_claims_no_accuracy_that_was_not_measured(arguments: dict, tmp_path: Path) -> None:
    publish(_checkpoint(tmp_path / "last.pth.tar", **arguments), tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "81.25" not in card and "Top-1" not in card and "model-index" not in card


def test_invalid_arguments_are_reported(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="arguments in the checkpoint make no sense"):
        convert(_checkpoint(tmp_path / "last.pth.tar", input_size="huge"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_weights_of_other_origin_get_a_card_without_training(converted: dict[str, Path], tmp_path: Path) -> None:
    publish(converted["backbone"], tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "## Use" in card and "## Training" not in card
    report, commit = publish(converted["segmentation"], tmp_path / "net")
    assert report.kind == "segmentation model" and commit is None
