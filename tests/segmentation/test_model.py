import json

import numpy as np
import pytest
import torch

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.segmentation import Preprocessing, UperNet

NARROW = dict(head_channels=8, aux_channels=8)
SCHEME = ClassScheme(("belt", "can"), ((0, 0, 0), (1, 2, 3)), ignore_index=9)


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    preprocessing = Preprocessing(fit=(64, 48), multiple=32)
    return UperNet("test_fanet", num_classes=2, classes=SCHEME, preprocessing=preprocessing, **NARROW).eval()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(70, 90, 3), dtype=np.uint8)


def test_predict_returns_other_labels_than_the_steps_by_hand(net, image):
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(net(net.preprocessing(image)), size=(70, 90), mode="bilinear")
    labels = net.predict(image)
    assert labels.dtype == np.uint8 and labels.shape == (70, 90)
    np.testing.assert_array_equal(labels, logits.argmax(1)[0].numpy())


def test_predict_leaves_the_network_in_another_mode(net, image):
    net.train()
    net.predict(image)
    assert net.training
    net.eval()


def test_saving_and_loading_changes_the_network(net, image, tmp_path):
    net.save_pretrained(tmp_path / "model")
    loaded = UperNet.from_pretrained(tmp_path / "model")
    assert loaded.classes == SCHEME and loaded.preprocessing == net.preprocessing and loaded.config == net.config
    assert not loaded.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    np.testing.assert_array_equal(loaded.predict(image), net.predict(image))


def test_loading_asks_for_the_backbone_s_own_weights(net, tmp_path):
    net.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "pretrained_backbone" not in config


def test_backbone_weights_are_not_loaded(tmp_path):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_fanet")
    save_file(source.state_dict(), tmp_path / "backbone.safetensors")
    net = UperNet("test_fanet", num_classes=2, backbone_weights=tmp_path / "backbone.safetensors", **NARROW)
    assert torch.equal(net.backbone.model.stem.weight, source.stem.weight)


def test_classes_are_not_named_by_default():
    assert UperNet("test_fanet", num_classes=5, **NARROW).classes == ZEROWASTE
    assert UperNet("test_fanet", num_classes=3, **NARROW).classes.names == ("class_0", "class_1", "class_2")


def test_a_wrong_number_of_names_is_accepted():
    with pytest.raises(ValueError, match="num_classes is 3, but 2 classes are named"):
        UperNet("test_fanet", num_classes=3, classes=SCHEME, **NARROW)
