"""Checkpoints of trainers that are not ours, and weights that cannot be had."""

import time
from pathlib import Path

import pytest
import timm
import torch

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation import UperNet, load_model
from fanet.weights import convert

NARROW = dict(head_channels=8, aux_channels=8)


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", 3, **NARROW).eval()


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.model.", "_orig_mod.", "segmentor._orig_mod."])
@pytest.mark.parametrize("container", ["state_dict", "model_state_dict", None])
def test_prefixes_and_containers_of_trainers_are_taken_off(net, prefix, container, tmp_path):
    tensors = {f"{prefix}{name}": tensor for name, tensor in net.state_dict().items()}
    content = tensors if container is None else {"epoch": 3, container: tensors}
    loaded = UperNet.from_pretrained(saved(tmp_path / "a.ckpt", content))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_averaged_model_loads_without_its_counter(net, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(net)
    loaded = UperNet.from_pretrained(saved(tmp_path / "a.pt", averaged.state_dict()))
    assert torch.equal(loaded.decode_head.conv_seg.weight, net.decode_head.conv_seg.weight)


def test_weights_beside_the_network_are_left_out_and_logged(net, tmp_path, caplog):
    tensors = {f"model.{name}": tensor for name, tensor in net.state_dict().items()} | {"loss.weight": torch.ones(3)}
    UperNet.from_pretrained(saved(tmp_path / "a.ckpt", {"state_dict": tensors}))
    assert "Left out beside the network model.: loss.weight" in caplog.text


def test_file_of_two_networks_is_refused_by_name(net, tmp_path):
    tensors = {f"{who}.{name}": tensor for who in ("student", "teacher") for name, tensor in net.state_dict().items()}
    with pytest.raises(UserError, match=r"several networks \(student\., teacher\.\)"):
        UperNet.from_pretrained(saved(tmp_path / "a.ckpt", {"state_dict": tensors}))


def test_classifier_of_lightning_loads_into_timm(tmp_path):
    source = timm.create_model("test_fanet", num_classes=4)
    tensors = {f"model.{name}": tensor for name, tensor in source.state_dict().items()}
    path = saved(tmp_path / "a.ckpt", {"state_dict": tensors, "pytorch-lightning_version": "2.4.0"})
    loaded = timm.create_model("test_fanet", num_classes=4, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    assert torch.equal(loaded.stem.weight, source.stem.weight)
    assert convert(path, tmp_path / "converted").kind == "backbone"


def test_five_classes_without_names_are_numbered(tmp_path):
    path = saved(tmp_path / "a.pth", UperNet("test_fanet", 5, **NARROW).state_dict())
    assert load_model(path).classes == ClassScheme.numbered(5) != ZEROWASTE


def test_classes_without_a_palette_are_saved(tmp_path):
    net = UperNet("test_fanet", 2, classes=ClassScheme(("belt", "can")), **NARROW)
    net.save_pretrained(tmp_path)
    classes = UperNet.from_pretrained(tmp_path).classes
    assert classes.names == ("belt", "can") and len(set(classes.palette)) == 2


def test_swapped_arguments_of_convert_are_recognised(net, tmp_path, capsys):
    path = saved(tmp_path / "a.pth", net.state_dict())
    assert main(["convert", str(tmp_path / "new"), str(path)]) == 2
    assert "the source comes first, then the target" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_no_network_fails_at_once_and_names_the_ways_out(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    begun = time.perf_counter()
    with pytest.raises(UserError) as caught:
        timm.create_model("fanet_base", pretrained=True, cache_dir=tmp_path)
    assert time.perf_counter() - begun < 2
    for way in ("pretrained=False", "model.pretrained_backbone=false", "model.backbone_weights=", "--pretrained-path"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)
