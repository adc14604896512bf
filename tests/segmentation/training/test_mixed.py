"""What computes in float32 although the network computes in bfloat16."""

import copy

import pytest
import torch
from timm.layers import LayerNorm2d
from torch import nn

from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.mixed import Float32Conv2d, Float32LayerNorm2d, keep_slow_in_float32
from fanet.segmentation.training.run import Run
from fanet.segmentation.training.settings import Settings

from .tiny_run import tiny_recipe


@pytest.mark.parametrize(
    ("amp", "has_bf16", "mixed"), [("auto", True, True), ("auto", False, False), ("none", True, False)]
)
def test_auto_takes_bf16_where_the_device_has_it(monkeypatch, amp, has_bf16, mixed):
    monkeypatch.setattr("fanet.segmentation.training.run.has_bf16", lambda device: has_bf16)
    run = Run.build(Settings.from_recipe(tiny_recipe(f"train.amp={amp}")), join_processes())
    assert run.mixed is mixed
    assert any(isinstance(module, Float32Conv2d) for module in run.network.modules()) is mixed


def test_slow_convolutions_compute_and_differentiate_in_float32_under_autocast():
    conv = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
    network = nn.Sequential(conv, nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.Conv2d(8, 8, 3, padding=1, groups=8))
    keep_slow_in_float32(network)
    assert [type(layer) for layer in network] == [Float32Conv2d, Float32Conv2d, nn.Conv2d]
    x, twin = torch.randn(2, 8, 9, 9), copy.deepcopy(conv)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = conv(x.bfloat16())
    exact = twin(x.bfloat16().float())
    mixed.sum().backward()
    exact.sum().backward()
    assert mixed.dtype == torch.float32 and torch.equal(mixed, exact)
    assert torch.equal(conv.weight.grad, twin.weight.grad)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(("channels", "stays"), [(12, True), (24, True), (200, True), (16, False), (48, False)])
def test_slow_layer_norms_compute_in_float32_under_autocast(channels, stays, affine):
    network = nn.Sequential(LayerNorm2d(channels, affine=affine))
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    keep_slow_in_float32(network)
    assert isinstance(network[0], Float32LayerNorm2d) is stays
    x = torch.randn(2, channels, 5, 7).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x)
    assert found.dtype == torch.bfloat16 and found.grad_fn is not None
    exact = network(x.float())
    torch.testing.assert_close(found.float(), exact, rtol=2**-8 if stays else 0.1, atol=0 if stays else 0.1)
