"""What any timm backbone brings: sizes, channels, layers, a start on constant regions."""

import json

import numpy as np
import pytest
import timm
import torch
from packaging.version import Version
from timm.optim import create_optimizer_v2
from torch import nn

from fanet.errors import UserError
from fanet.segmentation import SegmentationModel, UperNet

NARROW = dict(head_channels=8, aux_channels=8)


@pytest.mark.parametrize("backbone", ["hrnet_w18_small", "dla34", "test_convnext", "test_fanet"])
@pytest.mark.parametrize("size", [(33, 70), (68, 121)])
def test_odd_sizes_are_trained_on_and_predicted(backbone, size):
    net = UperNet(backbone, num_classes=2, **NARROW)
    main, auxiliary = net.train()(torch.randn(2, 3, *size))
    assert main.shape == auxiliary.shape == (2, 2, *size)
    assert net.predict(np.zeros((*size, 3), np.uint8)).shape == size


def test_images_are_padded_only_for_backbones_that_need_it():
    multiples = {name: UperNet(name, 2, **NARROW).multiple for name in ("hrnet_w18_small", "dla34", "test_fanet")}
    assert multiples == {"hrnet_w18_small": 32, "dla34": 32, "test_fanet": 1}


@pytest.mark.parametrize("in_chans", [1, 2, 4, 13])
@pytest.mark.parametrize("backbone", ["test_fanet", "test_convnext"])
def test_other_channels_are_predicted_saved_and_loaded(backbone, in_chans, tmp_path):
    net = SegmentationModel(backbone, 3, decoder="linear", backbone_kwargs={"in_chans": in_chans}).eval()
    image = np.random.default_rng(0).integers(256, size=(40, 56, in_chans), dtype=np.uint8)
    net.save_pretrained(tmp_path)
    again = SegmentationModel.from_pretrained(tmp_path)
    assert len(again.preprocessing.mean) == len(again.preprocessing.std) == again.in_chans == in_chans
    np.testing.assert_array_equal(again.predict(image), net.predict(image))


def test_pretrained_stem_is_adapted_as_timm_does(tmp_path):
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_fanet")
    save_file(source.state_dict(), tmp_path / "backbone.safetensors")
    weights = tmp_path / "backbone.safetensors"
    net = UperNet("test_fanet", 2, backbone_weights=weights, backbone_kwargs={"in_chans": 1}, **NARROW)
    torch.testing.assert_close(net.backbone.model.stem.weight, source.stem.weight.sum(1, keepdim=True))


@pytest.mark.parametrize("backbone", ["test_fanet", "test_convnext", "test_resnet", "test_efficientnet", "test_vit"])
def test_layers_of_the_backbone_learn_at_rates_of_their_own(backbone):
    net = UperNet(backbone, 2, **NARROW)
    groups = create_optimizer_v2(net, opt="adamw", lr=1e-3, layer_decay=0.5).param_groups
    scale = {id(parameter): group["lr_scale"] for group in groups for parameter in group["params"]}
    scales = {name: scale[id(parameter)] for name, parameter in net.named_parameters()}
    assert all(value == 1 for name, value in scales.items() if not name.startswith("backbone."))
    of_backbone = [value for name, value in scales.items() if name.startswith("backbone.")]
    assert max(of_backbone) < 1 and len(set(of_backbone)) > 2
    assert min(of_backbone) == next(iter(of_backbone)), "the stem is slowest"


@pytest.mark.parametrize("backbone", ["test_convnext", "focalnet_tiny_lrf", "test_fanet", "test_resnet"])
def test_first_gradient_on_half_empty_images_is_like_that_on_noise(backbone):
    torch.manual_seed(0)
    net = SegmentationModel(backbone, 3, decoder="linear").train()

    def gradient(x: torch.Tensor) -> float:
        net.zero_grad()
        torch.manual_seed(1)
        nn.functional.cross_entropy(net(x)[0], torch.randint(3, (2, 64, 64))).backward()
        return float(torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm())

    noise = torch.randn(2, 3, 64, 64)
    half = noise.clone()
    half[..., 32:] = 0
    assert gradient(half) < 3 * gradient(noise)


@pytest.mark.parametrize("backbone", ["maxvit_pico_rw_256", "halonet_h1"])
def test_networks_of_windows_take_images_of_any_size(backbone):
    net = SegmentationModel(backbone, 2, decoder="linear")
    assert net.multiple == 256
    assert net.train()(torch.randn(2, 3, 40, 56))[0].shape == (2, 2, 40, 56)
    assert net.predict(np.zeros((97, 131, 3), np.uint8)).shape == (97, 131)


def test_own_size_is_taken_by_a_network_whose_stride_does_not_divide_it():
    net = SegmentationModel("levit_128s", 2, decoder="linear")
    assert net.multiple == 32
    assert net.predict(np.zeros((224, 224, 3), np.uint8)).shape == (224, 224)


@pytest.mark.parametrize(
    ("backbone", "size", "message"),
    [
        ("levit_128s", 96, r"it is built for 224x224, with backbone_kwargs=.* for others$"),
        ("efficientformer_l1", 96, "it is built for 224x224$"),
        ("inception_v3", 64, "Kernel size can't be greater than actual input size"),
    ],
)
def test_sizes_that_a_network_refuses_are_named_in_training_and_evaluation(backbone, size, message):
    net = SegmentationModel(backbone, 2, decoder="linear")
    for mode in (True, False):
        with pytest.raises(UserError, match=f"^{backbone} takes no images of this size: .*{message}"):
            net.train(mode)(torch.randn(2, 3, size, size))


@pytest.mark.skipif(
    Version(timm.__version__) < Version("1.0.31"), reason=f"timm {timm.__version__} offers no feature maps of CoaT"
)
def test_network_with_shared_parameters_is_saved_and_loaded(tmp_path):
    net = SegmentationModel("coat_tiny", 2, decoder="linear").eval()
    net.save_pretrained(tmp_path)
    again = SegmentationModel.from_pretrained(tmp_path)
    image = np.random.default_rng(0).integers(256, size=(224, 224, 3), dtype=np.uint8)
    np.testing.assert_array_equal(again.predict(image), net.predict(image))


@pytest.mark.parametrize(
    ("backbone", "strides", "first"), [("test_vit", [16] * 3, [0, 1, 2]), ("dla46x_c", [4, 8, 16, 32], [1, 2, 3, 4])]
)
def test_last_maps_are_taken_and_earlier_files_keep_theirs(backbone, strides, first, tmp_path):
    import timm

    net = SegmentationModel(backbone, 2, decoder="linear")
    default = timm.create_model(backbone, features_only=True).feature_info
    assert net.backbone.feature_info.reduction() == strides == default.reduction()[-4:]
    assert list(net.backbone.feature_info.out_indices) == list(default.out_indices)[-4:]
    earlier = SegmentationModel(backbone, 2, decoder="linear", backbone_kwargs={"out_indices": first}).eval()
    earlier.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["backbone_kwargs"]["out_indices"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    image = np.random.default_rng(0).integers(256, size=(97, 131, 3), dtype=np.uint8)
    again = SegmentationModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again.predict(image), earlier.predict(image))


def test_layers_of_a_network_with_hooks_learn_at_rates_of_their_own():
    assert SegmentationModel("legacy_xception", 2, decoder="linear").group_matcher() is not None
