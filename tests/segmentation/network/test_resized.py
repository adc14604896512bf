"""Convolving maps before they are resized gives what convolving them afterwards does."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fanet.backbone.resize import resize_as
from fanet.segmentation import UperNet
from fanet.segmentation.network import layers
from fanet.segmentation.network.resized import conv_of_resized

SIZES = [
    [(32, 58), (16, 29), (8, 15), (4, 8)],  # of an image of 128x232
    [(135, 240), (68, 120), (34, 60), (17, 30)],  # several blocks
    [(7, 200), (5, 131), (1, 1), (3, 77)],
    [(1, 1), (1, 1)],
    [(9, 9)],
]


def together(maps: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([resize_as(x, maps[0]) for x in maps], dim=1)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_result_is_that_of_resizing_first(sizes, layout):
    torch.manual_seed(0)
    channels = [5, 3, 4, 2][: len(sizes)]
    conv = nn.Conv2d(sum(channels), 6, 3, padding=1, bias=False)
    maps = [torch.randn(2, count, *size).to(memory_format=layout) for count, size in zip(channels, sizes, strict=True)]
    with torch.no_grad():
        expected, found = conv(together(maps)), conv_of_resized(conv.weight, maps)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=3e-6 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gradients_are_those_of_resizing_first(sizes):
    torch.manual_seed(0)
    channels = [5, 3, 4, 2][: len(sizes)]
    conv = nn.Conv2d(sum(channels), 6, 3, padding=1, bias=False)
    maps = [torch.randn(2, count, *size, requires_grad=True) for count, size in zip(channels, sizes, strict=True)]
    gradient = torch.randn(2, 6, *sizes[0])
    needed = [*maps, conv.weight]
    for found, expected in zip(
        torch.autograd.grad(conv_of_resized(conv.weight, maps), needed, gradient),
        torch.autograd.grad(conv(together(maps)), needed, gradient),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_gradients_of_gradients_are_right():
    torch.manual_seed(0)
    first, second, weight = (
        torch.randn(size, dtype=torch.float64, requires_grad=True)
        for size in ((1, 1, 4, 3), (1, 1, 2, 2), (1, 2, 3, 3))
    )
    inputs = (weight, first, second)
    assert torch.autograd.gradgradcheck(lambda weight, *maps: conv_of_resized(weight, maps), inputs)


def test_under_autocast_the_result_is_as_exact_as_resizing_first():
    torch.manual_seed(0)
    conv = nn.Conv2d(64, 16, 3, padding=1, bias=False)
    maps = [torch.randn(2, 16, 32 >> i, 40 >> i) for i in range(4)]
    exact = conv(together(maps))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        usual, found = conv(together(maps)), conv_of_resized(conv.weight, maps)
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).norm() < 1.5 * (usual.float() - exact).norm()


WIDTH = 64  # of maps: with fewer channels they are resized in inference


@pytest.fixture
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", 5, head_channels=WIDTH, aux_channels=0).eval()


def test_whoever_watches_or_replaces_the_convolution_sees_it_called(net, monkeypatch):
    def never(*_: object) -> None:
        raise AssertionError("not called")

    monkeypatch.setattr(layers, "conv_of_resized", never)
    x = torch.randn(1, 3, 64, 64)
    block = net.decode_head.fpn_bottleneck
    for module in (block, block.conv):
        handle = module.register_forward_hook(lambda *_: None)
        net(x)  # with gradients
        handle.remove()
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net(x)
        with FlopCounterMode(display=False):
            net(x)
        torch.func.vmap(net)(x[None])
        copy.deepcopy(net).double()(x.double())
        UperNet("test_fanet", 5, head_channels=WIDTH - 1, aux_channels=0).eval()(x)
        for module in (block, block.conv):
            seen: list[object] = []
            handle = module.register_forward_hook(lambda *_, seen=seen: seen.append(_))
            net(x)
            handle.remove()
            assert len(seen) == 1
        with pytest.raises(AssertionError, match="not called"):  # nobody watches
            net(x)


def test_upernet_computes_the_same_in_both_ways(net):
    x = torch.randn(2, 3, 75, 130)
    trained = net(x).detach()
    with torch.no_grad():
        found = net(x)
        net.decode_head.fpn_bottleneck.register_forward_hook(lambda *_: None)
        expected = net(x)  # maps are resized
    for one in (trained, found):
        assert not torch.equal(one, expected)
        torch.testing.assert_close(one, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
