"""The weights of fanet_pico inside the package."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config

from fanet.segmentation import UperNet
from fanet.weights import WeightsError, convert


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise OSError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_they_load_without_a_network() -> None:
    torch.manual_seed(0)
    model = timm.create_model("fanet_pico", pretrained=True).eval()
    again = timm.create_model("fanet_pico.tiny_imagenet", pretrained=True).eval()
    assert model.num_classes == 200
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(image), again(image))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_timm_lists_them_and_knows_their_preprocessing() -> None:
    assert "fanet_pico.tiny_imagenet" in timm.list_pretrained("fanet*")
    model = timm.create_model("fanet_pico", pretrained=True)
    config = resolve_model_data_config(model)
    assert config["input_size"] == (3, 64, 64) and config["crop_pct"] == 1.0 and config["interpolation"] == "bicubic"
    assert model.pretrained_cfg["tag"] == "tiny_imagenet" and "non-commercial" in model.pretrained_cfg["notes"][0]


def test_features_and_segmentation_models_start_from_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        features = timm.create_model("fanet_pico", pretrained=True, features_only=True)
        net = UperNet("fanet_pico", num_classes=3, pretrained_backbone=True)
    assert not caplog.records
    weights = timm.create_model("fanet_pico", pretrained=True).state_dict()
    for name, tensor in features.state_dict().items():
        torch.testing.assert_close(tensor, weights[name.removeprefix("model.")])
    (stem,) = (tensor for name, tensor in net.backbone.state_dict().items() if name.endswith("stem.weight"))
    torch.testing.assert_close(stem, weights["stem.weight"])


def test_timm_adapts_head_and_channels() -> None:
    model = timm.create_model("fanet_pico", pretrained=True, num_classes=7, in_chans=1)
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 7)
    stem = timm.create_model("fanet_pico", pretrained=True).state_dict()["stem.weight"]
    torch.testing.assert_close(model.state_dict()["stem.weight"], stem.sum(1, keepdim=True))


def test_other_weights_that_are_asked_for_come_first() -> None:
    other = timm.create_model("fanet_pico", num_classes=10)
    overlay = dict(state_dict=other.state_dict(), num_classes=10)
    model = timm.create_model("fanet_pico", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=10)
    torch.testing.assert_close(model.state_dict()["head.fc.weight"], other.state_dict()["head.fc.weight"])
    with pytest.raises(WeightsError, match="ORG/NAME"):  # not the file in the package
        timm.create_model("fanet_pico", pretrained=True, pretrained_cfg_overlay=dict(hf_hub_id="ORG/NAME"))


def test_weights_of_another_training_do_not_claim_their_origin(tmp_path: Path) -> None:
    torch.save(timm.create_model("fanet_pico", num_classes=10).state_dict(), tmp_path / "mine.pth")
    convert(tmp_path / "mine.pth", tmp_path / "mine")
    described = json.loads((tmp_path / "mine" / "config.json").read_text())["pretrained_cfg"]
    assert described["num_classes"] == 10 and not {"tag", "notes", "file"} & described.keys()
