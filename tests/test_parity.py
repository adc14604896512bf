"""The networks compute what the authors' own classes and MMSegmentation's own heads compute, in float32 on a CPU."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import fanet  # noqa: F401  registers the models
from fanet.segmentation import UperNet
from fanet.segmentation.network.checkpoints import segmentation_state_dict

DATA = Path(__file__).parent / "data" / "parity"
CASES = ("square", "odd")
CLASSIFIERS = ("authors_imagenet_micro.pth.tar", "authors_imagenet_micro_ddp.pth")


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(DATA / "golden.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture(scope="module")
def upernet() -> UperNet:
    net = UperNet("test_fanet", num_classes=5, head_channels=32, aux_channels=32)
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(DATA / "authors_zerowaste_micro.pth", weights_only=True)
    net.load_state_dict(segmentation_state_dict(checkpoint))
    return net.eval()


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


def overlay(name: str) -> dict:
    return dict(file=str(DATA / name), num_classes=10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_class_logits_match_the_authors(golden, case, name):
    model = timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay(name)).eval()
    with torch.no_grad():
        logits = model(golden[f"{case}__image"])
    assert relative_error(logits, golden[f"{case}__class_logits"]) < 1e-5


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_features_match_the_authors(golden, case, name):
    body = timm.create_model("test_fanet", pretrained=True, features_only=True, pretrained_cfg_overlay=overlay(name))
    with torch.no_grad():
        features = body.eval()(golden[f"{case}__image"])
    for i, feature in enumerate(features, start=1):
        assert relative_error(feature, golden[f"{case}__s{i}"]) < 1e-5


@pytest.mark.parametrize("case", CASES)
def test_segmentation_logits_match_mmsegmentation(golden, upernet, case):
    with torch.no_grad():
        features = upernet.forward_features(golden[f"{case}__image"])
        decoded = upernet.decode_head(features)
        auxiliary = upernet.auxiliary_head(features[2])
        logits = upernet(golden[f"{case}__image"])
    assert relative_error(decoded, golden[f"{case}__decode_logits"]) < 1e-5
    assert relative_error(auxiliary, golden[f"{case}__aux_logits"]) < 1e-5
    assert relative_error(logits, golden[f"{case}__seg_logits"]) < 1e-5
