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
    import thop

    model = network(name)
    found, parameters = thop.profile(copy.deepcopy(model), (images(),), verbose=False)
    assert macs(model) <= found < 1.3 * macs(model)  # it also counts norms
    assert parameters > 0.98 * sum(p.numel() for p in model.parameters())  # no LayerNorm2d, no scales


@both
def test_torchinfo_counts_every_layer(name: str) -> None:
    import torchinfo

    model = network(name)
    summary = torchinfo.summary(copy.deepcopy(model), input_data=images(), verbose=0)
    assert macs(model) <= summary.total_mult_adds < 1.3 * macs(model)
    assert summary.total_params == sum(p.numel() for p in model.parameters())


@both
@pytest.mark.parametrize("targets", ["first convolution", "pointwise and linear"])
def test_peft_adapts_trains_and_merges(name: str, targets: str) -> None:
    import peft

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


def without_scales(name: str) -> nn.Module:
    model = network(name).train()
    for module in model.modules():  # Opacus knows no bare parameters, as ConvNeXt's scales are
        if isinstance(getattr(module, "gamma", None), nn.Parameter):
            module.gamma.requires_grad_(False)
    return model


def worst_gradient(model: nn.Module, force_functorch: bool) -> float:
    """The largest relative error of Opacus' gradients of single images, over images and parameters."""
    import opacus

    labels, reference, worst = torch.tensor([0, 1]), copy.deepcopy(model), 0.0
    sampled = opacus.GradSampleModule(model, strict=False, loss_reduction="sum", force_functorch=force_functorch)
    cross_entropy(sampled(images()), labels, reduction="sum").backward()
    for i in range(2):
        reference.zero_grad()
        cross_entropy(reference(images()[i : i + 1]), labels[i : i + 1]).backward()
        for parameter, other in zip(model.parameters(), reference.parameters(), strict=True):
            if parameter.requires_grad:
                error = (parameter.grad_sample[i] - other.grad).norm() / other.grad.norm().clamp(min=1e-12)
                worst = max(worst, float(error))
    return worst


@both
def test_opacus_gives_the_gradient_of_each_image(name: str) -> None:
    assert worst_gradient(without_scales(name), force_functorch=True) < 1e-4


@both
def test_opacus_own_rule_for_convolutions_is_still_wrong_on_channels_last_maps(name: str) -> None:
    # If this fails, Opacus has mended it: docs/interop.md need no longer ask for force_functorch.
    assert worst_gradient(without_scales(name), force_functorch=False) > 0.1


@both
def test_opacus_finds_nothing_to_mend(name: str) -> None:
    import opacus

    assert not opacus.validators.ModuleValidator.validate(network(name).train(), strict=False)


@both
def test_captum_attributes_to_pixels_and_to_a_stage(name: str) -> None:
    from captum.attr import IntegratedGradients, LayerGradCam

    model = network(name)
    # ConvNeXt jumps on constant images, as its biases start at 0: attributions add up only beside them.
    baseline = 0.1 * images().flip(0)
    attribution = IntegratedGradients(model).attribute(images(), baseline, target=1, n_steps=64)
    expected = model(images())[:, 1] - model(baseline)[:, 1]
    torch.testing.assert_close(attribution.sum((1, 2, 3)), expected.detach(), atol=1e-2, rtol=1e-2)
    assert LayerGradCam(model, model.stages[-1]).attribute(images(), target=1).shape == (2, 1, 2, 2)


@both
def test_torch_pruning_removes_a_fifth_of_the_channels(name: str) -> None:
    import torch_pruning

    model = network(name)
    before, widths = sum(p.numel() for p in model.parameters()), [info["num_chs"] for info in model.feature_info]
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        images(),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.2,
        ignored_layers=[model.get_classifier()],
        round_to=8,  # half the width of a stage goes through four groups
    )
    pruner.step()
    assert sum(p.numel() for p in model.parameters()) < 0.8 * before
    narrow = model.forward_intermediates(images(), intermediates_only=True)
    assert all(x.shape[1] < width for x, width in zip(narrow, widths, strict=True))
    cross_entropy(model(images()), torch.tensor([0, 1])).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@both
@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig"])
def test_torchao_quantises_the_classifier(name: str, config: str) -> None:
    import torchao.quantization

    model, expected = network(name), network(name)(images())
    torchao.quantization.quantize_(model, getattr(torchao.quantization, config)())
    assert type(model.get_classifier().weight) is not nn.Parameter
    with torch.no_grad():
        assert (model(images()) - expected).norm() < 0.02 * expected.norm()
