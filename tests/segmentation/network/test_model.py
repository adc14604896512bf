import json

import numpy as np
import pytest
import torch
from timm.optim import create_optimizer_v2

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError
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


def test_predict_equals_the_steps_by_hand(net, image):
    with torch.no_grad():
        logits = torch.nn.functional.interpolate(net(net.preprocessing(image)), size=(70, 90), mode="bilinear")
    labels = net.predict(image)
    assert labels.dtype == np.uint8 and labels.shape == (70, 90)
    np.testing.assert_array_equal(labels, logits.argmax(1)[0].numpy())


def test_predict_restores_training_mode(net, image):
    net.train()
    net.predict(image)
    assert net.training
    net.eval()


def test_saving_and_loading_keeps_the_network(net, image, tmp_path):
    net.save_pretrained(tmp_path / "model")
    loaded = UperNet.from_pretrained(tmp_path / "model")
    assert loaded.classes == SCHEME and loaded.preprocessing == net.preprocessing and loaded.config == net.config
    assert not loaded.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    np.testing.assert_array_equal(loaded.predict(image), net.predict(image))


def test_saved_config_does_not_ask_for_pretrained_weights(net, tmp_path):
    net.save_pretrained(tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "pretrained_backbone" not in config


def test_backbone_weights_are_loaded_from_a_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_fanet")
    save_file(source.state_dict(), tmp_path / "backbone.safetensors")
    net = UperNet("test_fanet", num_classes=2, backbone_weights=tmp_path / "backbone.safetensors", **NARROW)
    assert torch.equal(net.backbone.model.stem.weight, source.stem.weight)


def test_classes_are_named_by_default():
    assert UperNet("test_fanet", num_classes=5, **NARROW).classes == ZEROWASTE
    assert UperNet("test_fanet", num_classes=3, **NARROW).classes.names == ("class_0", "class_1", "class_2")


def test_wrong_number_of_class_names_is_refused():
    with pytest.raises(ValueError, match="num_classes is 3, but 2 classes are named"):
        UperNet("test_fanet", num_classes=3, classes=SCHEME, **NARROW)


@pytest.mark.parametrize(
    "backbone, table",
    [
        ("swin_tiny_patch4_window7_224", "backbone.layers_0.blocks.0.attn.relative_position_bias_table"),
        ("vit_tiny_patch16_224", "backbone.model.pos_embed"),
        ("hiera_tiny_224", "backbone.model.pos_embed"),
    ],
)
def test_position_tables_have_no_weight_decay(backbone, table):
    with torch.device("meta"):
        net = UperNet(backbone, num_classes=2, backbone_kwargs={"out_indices": (0, 1)}, **NARROW)
    parameters = dict(net.named_parameters())
    assert table in net.no_weight_decay() <= parameters.keys()
    groups = create_optimizer_v2(net, opt="adamw", lr=1e-3, weight_decay=0.05).param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay[id(parameters[table])] == 0
    assert decay[id(parameters["decode_head.bottleneck.conv.weight"])] == 0.05
    assert sum(value == 0.05 for value in decay.values()) > 10


def test_backbone_without_position_tables_excludes_nothing_from_decay(net):
    assert net.no_weight_decay() == set()
    assert UperNet("resnet10t", num_classes=2, **NARROW).no_weight_decay() == set()


@pytest.fixture(scope="module")
def of_one_size() -> UperNet:
    return UperNet("hiera_tiny_224", num_classes=2, **NARROW).eval()


def test_image_of_the_wrong_size_is_refused_in_one_line(of_one_size, image):
    with pytest.raises(UserError, match="hiera_tiny_224 takes no images of this size: ") as caught:
        of_one_size.predict(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory")])
def test_out_of_memory_is_raised_unchanged(error, of_one_size, image, monkeypatch):
    def full(x):
        raise error

    monkeypatch.setattr(of_one_size, "forward_features", full)
    with pytest.raises(RuntimeError) as caught:
        of_one_size.predict(image)
    assert caught.value is error


def test_error_of_a_backbone_for_any_size_is_raised_unchanged(net, image, monkeypatch):
    def faulty(x):
        raise RuntimeError("a bug")

    monkeypatch.setattr(net, "forward_features", faulty)
    with pytest.raises(RuntimeError, match="^a bug$"):
        net.predict(image)
