"""Libraries that look inside networks, on a ConvNeXt of timm's as control and on this family."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import fanet  # noqa: F401  registers the models

NETWORKS = ("convnext_atto", "test_fanet")
both = pytest.mark.parametrize("name", NETWORKS)
pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=3).eval()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def macs(model: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images())
    return counter.get_total_flops() // 2


@both
def test_thop_counts_every_layer(name: str) -> None:
    thop = pytest.importorskip("thop")
    model = network(name)
    found, parameters = thop.profile(copy.deepcopy(model), (images(),), verbose=False)
    assert macs(model) <= found < 1.3 * macs(model)  # it also counts norms
    assert parameters > 0.98 * sum(p.numel() for p in model.parameters())  # it leaves out ConvNeXt's scales


@both
def test_torchinfo_counts_every_layer(name: str) -> None:
    torchinfo = pytest.importorskip("torchinfo")
    model = network(name)
    summary = torchinfo.summary(copy.deepcopy(model), input_data=images(), verbose=0)
    assert macs(model) <= summary.total_mult_adds < 1.3 * macs(model)
    assert summary.total_params == sum(p.numel() for p in model.parameters())


@both
@pytest.mark.parametrize("targets", ["first convolution", "pointwise and linear"])
def test_peft_adapts_trains_and_merges(name: str, targets: str) -> None:
    peft = pytest.importorskip("peft")
    model = network(name)
    layers = {path: module for path, module in model.named_modules() if type(module) in (nn.Conv2d, nn.Linear)}
    groups = {path: getattr(module, "groups", 1) for path, module in layers.items()}
    found = [model.pretrained_cfg["first_conv"]]
    if targets == "pointwise and linear":  # PEFT does not merge into convolutions with groups
        found = [path for path in layers if groups[path] == 1]
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=found))
    expected = adapted(images())
    torch.testing.assert_close(expected, network(name)(images()))
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    cross_entropy(adapted(images()), torch.tensor([0, 1])).backward()
    optimizer.step()
    trained = adapted.eval()(images())
    assert not torch.equal(trained, expected)
    torch.testing.assert_close(adapted.merge_and_unload()(images()), trained, atol=1e-4, rtol=1e-3)


@both
def test_opacus_gives_the_gradient_of_each_image(name: str) -> None:
    opacus = pytest.importorskip("opacus")
    model, labels = network(name).train(), torch.tensor([0, 1])
    for module in model.modules():  # Opacus knows no bare parameters, as ConvNeXt's scales are
        if isinstance(getattr(module, "gamma", None), nn.Parameter):
            module.gamma.requires_grad_(False)
    reference = copy.deepcopy(model)
    # Its own rule for convolutions gives wrong gradients, without a word, on channels-last maps, ConvNeXt's included.
    sampled = opacus.GradSampleModule(model, strict=False, loss_reduction="sum", force_functorch=True)
    cross_entropy(sampled(images()), labels, reduction="sum").backward()
    for i in range(2):
        reference.zero_grad()
        cross_entropy(reference(images()[i : i + 1]), labels[i : i + 1]).backward()
        for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
            if parameter.requires_grad:
                torch.testing.assert_close(parameter.grad_sample[i], other.grad, atol=1e-4, rtol=1e-3)


@both
def test_opacus_finds_nothing_to_mend(name: str) -> None:
    opacus = pytest.importorskip("opacus")
    assert not opacus.validators.ModuleValidator.validate(network(name).train(), strict=False)
