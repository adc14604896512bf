import numpy as np
import pytest
import torch
from torch import nn

from fanet.errors import UserError
from fanet.segmentation import UperNet
from fanet.segmentation.network.layers import BatchNorm

NARROW = dict(head_channels=8, aux_channels=8)


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=4, **NARROW)


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (97, 131), (540, 30)])
def test_logits_have_the_size_of_the_input(net, size):
    with torch.no_grad():
        assert net.eval()(torch.randn(1, 3, *size)).shape == (1, 4, *size)


def test_training_returns_main_and_auxiliary_logits(net):
    main, auxiliary = net.train()(torch.randn(2, 3, 64, 96))
    assert main.shape == auxiliary.shape == (2, 4, 64, 96)


def test_network_without_auxiliary_head_returns_none_for_it():
    net = UperNet("test_fanet", num_classes=4, head_channels=8, aux_channels=0).train()
    main, auxiliary = net(torch.randn(2, 3, 32, 32))
    assert main.shape == (2, 4, 32, 32) and auxiliary is None


@pytest.mark.parametrize("size", [(64, 64), (32, 32)])
def test_batch_of_one_can_train(net, size):
    net.train()
    main, auxiliary = net(torch.randn(1, 3, *size))
    (main.sum() + auxiliary.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    net.zero_grad()


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 1, 1), (1, 3, 2, 1)])
def test_one_or_two_values_are_normalised_by_running_statistics_and_leave_them(shape):
    norm = BatchNorm(3).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(shape)
    expected = (x - norm.running_mean.view(1, 3, 1, 1)) / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(norm(x), expected)
    assert norm.running_mean.tolist() == [1, 2, 3] and norm.num_batches_tracked == 0


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 3, 1, 1)])
def test_several_values_are_normalised_as_in_torch(shape):
    ours, theirs = BatchNorm(3).train(), nn.BatchNorm2d(3).train()
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(
    "backbone, kwargs",
    [
        ("test_resnet", {}),  # five maps, of which UperNet takes four
        ("test_convnext", {}),
        ("test_efficientnet", {}),
        ("test_vit", {}),  # maps of one size, built for one size of image
        ("swin_tiny_patch4_window7_224", dict(embed_dim=8, depths=(1,) * 4, num_heads=(1,) * 4)),  # the same, NHWC
    ],
)
def test_other_timm_backbones_take_any_size(backbone, kwargs):
    net = UperNet(backbone, num_classes=3, backbone_kwargs=kwargs, **NARROW).eval()
    again = UperNet(**net.config).eval()
    again.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 90, 131)
    with torch.no_grad():
        assert net(image).shape == (1, 3, 90, 131)
        torch.testing.assert_close(again(image), net(image))
    assert net.predict(np.zeros((50, 70, 3), np.uint8)).shape == (50, 70)
    main, auxiliary = net.train()(torch.randn(2, 3, 90, 131))
    assert main.shape == auxiliary.shape == (2, 3, 90, 131)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(backbone="fanet_enormous"), "unknown backbone 'fanet_enormous'"),
        (dict(backbone_kwargs={"out_indices": (9,)}), "'test_fanet' cannot be built for feature maps"),
        (dict(backbone="resnet18.bad"), "Invalid pretrained tag"),
        (dict(num_classes=300), r"1\.\.255"),
        (dict(num_classes=256), r"1\.\.255, as labels have 8 bits and 255 is for ignored pixels, got 256"),
        (dict(backbone_kwargs={"out_indices": (3,)}), "aux_channels"),
        (dict(backbone_kwargs={"checkpoint_path": "x"}), "must not hold checkpoint_path"),
    ],
)
def test_invalid_argument_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        UperNet(**{"backbone": "test_fanet", "num_classes": 2, **NARROW, **arguments})


def test_renamed_backbone_takes_its_new_name():
    with pytest.warns(UserWarning, match="fanet_tiny"):
        net = UperNet("fanet_tiny", 2, backbone_kwargs={"dims": (8, 16, 24, 32), "depths": (1, 1, 1, 1)}, **NARROW)
    assert net.config["backbone"] == "fanet_base"


def test_heads_have_their_published_sizes():
    net = UperNet("fanet_base", num_classes=150, backbone_kwargs={"device": "meta"})
    sizes = [sum(p.numel() for p in head.parameters()) / 1e6 for head in (net.decode_head, net.auxiliary_head)]
    assert sizes == pytest.approx([9.26, 0.92], abs=0.005)
