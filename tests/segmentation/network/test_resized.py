"""Convolving maps before they are resized gives what convolving them afterwards does."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fanet.backbone.resize import resize_as
from fanet.segmentation import UperNet
from fanet.segmentation.network import layers
from fanet.segmentation.network.layers import ConvBnRelu
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


WIDTH = 128  # of maps: with fewer channels they are resized


def test_whoever_watches_or_replaces_the_convolution_sees_it_called(monkeypatch):
    monkeypatch.setattr(layers, "conv_of_resized", None)
    conv = ConvBnRelu(2 * WIDTH, 4, 3).eval()
    maps = [torch.randn(1, WIDTH, 8, 8), torch.randn(1, WIDTH, 4, 4)]

    def is_plain(conv: ConvBnRelu, maps: list[torch.Tensor]) -> bool:
        return torch.equal(conv.of_resized(maps), conv(together(maps)))

    assert is_plain(conv, maps)  # with gradients
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert is_plain(conv, maps)
        with FlopCounterMode(display=False):
            assert is_plain(conv, maps)
        assert is_plain(copy.deepcopy(conv).double(), [x.double() for x in maps])
        assert is_plain(ConvBnRelu(6, 4, 3).eval(), [x[:, :3] for x in maps])
        torch.func.vmap(lambda a, b: conv.of_resized([a, b]))(maps[0][None], maps[1][None])
        handle = conv.conv.register_forward_hook(lambda *_: None)
        assert is_plain(conv, maps)
        handle.remove()
        with pytest.raises(TypeError):  # nobody watches
            conv.of_resized(maps)


def test_upernet_computes_the_same_in_both_ways():
    torch.manual_seed(0)
    net = UperNet("test_fanet", 5, head_channels=WIDTH, aux_channels=0).eval()
    x = torch.randn(2, 3, 75, 130)
    expected = net(x).detach()  # with gradients: maps are resized
    with torch.no_grad():
        found = net(x)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
