"""Networks start from scratch on images with constant regions: padding, black frames, grey cards."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fanet  # noqa: F401  registers the models
from fanet.segmentation import UperNet

EPS = 1e-6  # of the layer norms
LAYOUTS = ("half", "one image", "letterbox", "frame", "grey card", "black")
BUILDS = (
    {},
    dict(frm="none"),
    dict(frm="low"),
    dict(scm=False),
    dict(scm=False, frm="none"),
    dict(in_chans=1),
    dict(in_chans=4),
    dict(output_stride=8),
    dict(output_stride=16),
)


def images(layout: str | None = None, channels: int = 3, size: int = 64) -> Tensor:
    """Two normalised images of noise, parts of which are constant."""
    x = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    edge = size // 4
    if layout == "half":
        x[..., size // 2 :] = 0
    elif layout == "one image":
        x[1] = 0
    elif layout == "letterbox":
        x[:, :, :edge], x[:, :, -edge:] = 0, 0
    elif layout == "frame":
        x = F.pad(x[..., edge:-edge, edge:-edge], [edge] * 4)
    elif layout == "grey card":
        x[1] = 0.01
    elif layout == "black":
        x[1] = -2.1
    return x


def gradient_norm(network: nn.Module, x: Tensor, classes: int = 5) -> float:
    """The norm of all gradients of the first training step."""
    torch.manual_seed(0)
    network.train().zero_grad()
    outputs = network(x)
    loss = torch.zeros(())
    for logits in outputs if isinstance(outputs, tuple) else (outputs,):
        labels = torch.randint(classes, (logits.shape[0], *logits.shape[2:]))
        loss = loss + F.cross_entropy(logits.float(), labels)
    loss.backward()
    return float(torch.stack([p.grad.float().norm() for p in network.parameters() if p.grad is not None]).norm())


def least_variance(network: nn.Module, x: Tensor) -> dict[str, float]:
    """The least variance over channels of any pixel that each layer norm gets."""
    found = {}

    def note(name: str):
        return lambda module, inputs: found.update({name: inputs[0].float().var(1, unbiased=False).min().item()})

    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    hooks = [module.register_forward_pre_hook(note(name)) for name, module in norms.items()]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    assert found.keys() == norms.keys()
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["test_fanet", "fanet_pico"])
def test_the_first_step_of_a_classifier_is_no_larger_on_constant_regions(name: str, layout: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5)
    assert gradient_norm(model, images(layout)) < 3 * gradient_norm(model, images())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_step_of_upernet_is_no_larger_on_constant_regions(layout: str) -> None:
    torch.manual_seed(0)
    net = UperNet("test_fanet", num_classes=5, head_channels=32, aux_channels=32)
    assert gradient_norm(net, images(layout)) < 3 * gradient_norm(net, images())


@pytest.mark.parametrize("build", BUILDS, ids=str)
def test_the_first_step_of_every_build_is_no_larger_on_constant_regions(build: dict) -> None:
    torch.manual_seed(0)
    model, channels = timm.create_model("test_fanet", num_classes=5, **build), build.get("in_chans", 3)
    assert gradient_norm(model, images("one image", channels)) < 3 * gradient_norm(model, images(None, channels))


def test_the_first_step_in_bfloat16_is_no_larger_on_constant_regions() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_fanet", num_classes=5)
    with torch.autocast("cpu", torch.bfloat16):
        assert gradient_norm(model, images("half")) < 3 * gradient_norm(model, images())


@pytest.mark.parametrize("build", BUILDS, ids=str)
@pytest.mark.parametrize("value", [0.0, 0.01, 0.5])
def test_every_layer_norm_sees_variance_on_a_constant_image(build: dict, value: float) -> None:
    torch.manual_seed(0)
    model, channels = timm.create_model("test_fanet", num_classes=5, **build).eval(), build.get("in_chans", 3)
    constant = least_variance(model, torch.full((1, channels, 64, 64), value))
    # The low branch of the FRM is a product of small maps: its variance is near eps on any image.
    assert all(variance > 10 * EPS for name, variance in constant.items() if "refine.low" not in name)


def test_initial_values_drawn_again_keep_constant_images_apart() -> None:
    model = timm.create_model("test_fanet", num_classes=5, device="meta").to_empty(device="cpu")
    model.init_weights()
    assert gradient_norm(model, images("one image")) < 3 * gradient_norm(model, images())
