import numpy as np
import pytest
import torch

from fanet.scenes import scene
from fanet.segmentation import UperNet, load_model
from fanet.segmentation.network.half import LIMIT, scale_for_half


@pytest.fixture
def large() -> UperNet:
    """A model whose decoder sums to more than float16 holds, and knows it."""
    torch.manual_seed(0)
    net = UperNet("test_fanet", 3, head_channels=8, aux_channels=8)
    with torch.no_grad():
        net.decode_head.bottleneck.conv.weight *= 1e6
        net.train()
        for _ in range(60):  # the running statistics follow
            net(torch.randn(2, 3, 64, 64))
    return net.eval()


def test_scaled_model_computes_what_it_did(large):
    x = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        before = large(x)
        assert scale_for_half(large) > 0
        torch.testing.assert_close(large(x), before, rtol=1e-5, atol=1e-5)
    norm = large.decode_head.bottleneck.bn
    assert float((norm.running_mean.abs() + 6 * norm.running_var.sqrt()).max()) <= LIMIT


def test_model_that_fits_is_left_alone():
    net = UperNet("test_fanet", 3, head_channels=8, aux_channels=8).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert scale_for_half(net) == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_overflow_in_float16_is_reported(large):
    image = scene(0, 0, size=(64, 64))[0]
    with pytest.warns(UserWarning, match="overflows float16"):
        large.half().predict(image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_shipped_model_gives_the_same_labels_in_half_precision(dtype):
    image = scene(3, 1, size=(64, 80))[0]
    expected = load_model().predict(image)
    with torch.autocast("cpu", dtype):
        autocast = load_model().predict(image)
    for labels in (autocast, load_model().to(dtype).predict(image)):
        assert np.mean(labels == expected) > (0.99 if dtype == torch.float16 else 0.97)
