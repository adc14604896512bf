import pytest
import torch
from torch import nn

from fanet.segmentation import UperNet
from fanet.segmentation.upernet import BatchNorm

NARROW = dict(head_channels=8, aux_channels=8)


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=4, **NARROW)


@pytest.mark.parametrize("size", [(32, 32), (33, 65), (97, 131), (540, 30)])
def test_an_input_size_is_refused_or_changed(net, size):
    with torch.no_grad():
        assert net.eval()(torch.randn(1, 3, *size)).shape == (1, 4, *size)


def test_training_returns_no_pair_of_logits(net):
    main, auxiliary = net.train()(torch.randn(2, 3, 64, 96))
    assert main.shape == auxiliary.shape == (2, 4, 64, 96)


def test_a_network_without_auxiliary_head_returns_one():
    net = UperNet("test_fanet", num_classes=4, head_channels=8, aux_channels=0).train()
    main, auxiliary = net(torch.randn(2, 3, 32, 32))
    assert main.shape == (2, 4, 32, 32) and auxiliary is None


@pytest.mark.parametrize("size", [(64, 64), (32, 32)])
def test_batch_size_one_cannot_train(net, size):
    net.train()
    main, auxiliary = net(torch.randn(1, 3, *size))
    (main.sum() + auxiliary.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    net.zero_grad()


def test_a_single_value_changes_running_statistics():
    norm = BatchNorm(3).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.randn(1, 3, 1, 1)
    expected = (x - norm.running_mean.view(1, 3, 1, 1)) / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(norm(x), expected)
    assert norm.running_mean.tolist() == [1, 2, 3] and norm.num_batches_tracked == 0


def test_several_values_are_normalised_unlike_torch_does():
    ours, theirs = BatchNorm(3).train(), nn.BatchNorm2d(3).train()
    x = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


@pytest.mark.parametrize(
    "backbone, kwargs",
    [
        ("test_resnet", {}),  # five maps, of which UperNet takes four
        ("test_convnext", {}),
        ("test_efficientnet", {}),
        ("test_vit", {"img_size": 64}),  # maps of one size
        ("swin_tiny_patch4_window7_224", dict(img_size=64, embed_dim=8, depths=(1,) * 4, num_heads=(1,) * 4)),  # NHWC
    ],
)
def test_another_backbone_of_timm_does_not_fit(backbone, kwargs):
    net = UperNet(backbone, num_classes=3, backbone_kwargs=kwargs, **NARROW).eval()
    with torch.no_grad():
        assert net(torch.randn(1, 3, 64, 64)).shape == (1, 3, 64, 64)


def test_the_heads_leave_their_published_sizes():
    net = UperNet("fanet_base", num_classes=150, backbone_kwargs={"device": "meta"})
    sizes = [sum(p.numel() for p in head.parameters()) / 1e6 for head in (net.decode_head, net.auxiliary_head)]
    assert sizes == pytest.approx([9.26, 0.92], abs=0.005)
