"""What makes training faster or smaller changes its results by rounding at most."""

import copy

import numpy as np
import pytest
import torch
from timm.optim import create_optimizer_v2
from timm.optim.muon import _COEFFICIENTS, resolve_ns_coefficients, zeropower_via_newtonschulz
from timm.utils import ModelEmaV3

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.segmentation import UperNet
from fanet.segmentation.training import muon
from fanet.segmentation.training.average import MovingAverage
from fanet.segmentation.training.build import build_network, build_objective, build_optimizer
from fanet.segmentation.training.muon import BatchedMuon
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import train

from .tiny_run import assert_same_weights, state, tiny_recipe


@pytest.fixture
def networks():
    """Two equal networks."""
    torch.manual_seed(0)
    network = UperNet("test_fanet", 3, head_channels=8, aux_channels=8).to(memory_format=torch.channels_last)
    return network, copy.deepcopy(network)


def set_gradients(*networks):
    for parameters in zip(*(network.parameters() for network in networks), strict=True):
        gradient = torch.randn_like(parameters[0])
        for parameter in parameters:
            parameter.grad = gradient.clone()


def distance(one, other):
    with torch.no_grad():
        return max(float((a - b).abs().max()) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.fixture
def in_bfloat16(monkeypatch):
    """All matrices are orthogonalised in bfloat16, as timm does it."""
    monkeypatch.setattr(muon, "_suits_float32", lambda matrices: False)


def test_batched_muon_takes_the_steps_of_timms(networks, in_bfloat16):
    timms, batched = (create_optimizer_v2(network, "muon", lr=0.01, weight_decay=0.05) for network in networks)
    batched = BatchedMuon(batched.param_groups)
    start = copy.deepcopy(networks[0])
    for _ in range(3):
        set_gradients(*networks)
        timms.step()
        batched.step()
    assert distance(networks[0], start) > 0.01
    assert distance(*networks) < 1e-4  # Newton-Schulz is in bfloat16: 0.8 % of a step


def test_batched_muon_differs_by_timms_rounding_in_float32(networks):
    timms, batched = (create_optimizer_v2(network, "muon", lr=0.01, weight_decay=0.05) for network in networks)
    set_gradients(*networks)
    timms.step()
    BatchedMuon(batched.param_groups).step()
    assert 0 < distance(*networks) < 5e-4


@pytest.mark.parametrize("least", [1, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("kind", ["original", "quintic", "polar_express"])
def test_iterating_on_gram_matrices_gives_what_iterating_on_matrices_does(least, kind):
    torch.manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(3, 24, 100, dtype=torch.float64), full_matrices=False)
    matrices = left @ torch.diag(torch.logspace(0, np.log10(least), 24, dtype=torch.float64)) @ right
    coefficients = resolve_ns_coefficients(kind, _COEFFICIENTS)
    exact = zeropower_via_newtonschulz(matrices, 5, coefficients, dtype=torch.float64)
    usual = zeropower_via_newtonschulz(matrices, 5, coefficients, dtype=torch.bfloat16)
    found = muon.by_gram_matrices(matrices.float(), 5, coefficients, eps=1e-7, safety_factor=1)
    assert (found - exact).norm() < 0.2 * (usual - exact).norm()


def test_gradients_of_zero_stay_zero():
    found = muon.by_gram_matrices(torch.zeros(2, 3, 4), 5, [(3.4, -4.8, 2.0)], eps=1e-7, safety_factor=1)
    assert torch.equal(found, torch.zeros(2, 3, 4))


def test_batched_muon_resumes_the_state_of_timms(networks, in_bfloat16):
    timms, batched = (create_optimizer_v2(network, "muon", lr=0.01, weight_decay=0.05) for network in networks)
    batched = BatchedMuon(batched.param_groups)
    set_gradients(*networks)
    timms.step()
    batched.load_state_dict(copy.deepcopy(timms.state_dict()))
    networks[1].load_state_dict(networks[0].state_dict())
    set_gradients(*networks)
    timms.step()
    batched.step()
    assert distance(*networks) < 1e-4
    one, other = timms.state_dict()["state"], batched.state_dict()["state"]
    assert {key: value.keys() for key, value in one.items()} == {key: value.keys() for key, value in other.items()}


def test_batched_muon_leaves_parameters_without_gradient_alone(networks):
    optimizer = BatchedMuon(networks[0].parameters(), lr=0.01, weight_decay=0.05)
    networks[0].decode_head.requires_grad_(False)
    set_gradients(networks[0])
    for parameter in networks[0].decode_head.parameters():
        parameter.grad = None
    optimizer.step()
    assert distance(networks[0].decode_head, networks[1].decode_head) == 0
    assert distance(networks[0].backbone, networks[1].backbone) > 0


def test_moving_average_is_timms():
    torch.manual_seed(0)
    network = UperNet("test_fanet", 3, head_channels=8, aux_channels=8)
    timms, ours = ModelEmaV3(network, decay=0.9, use_warmup=True), MovingAverage(network, 0.9)
    for step in range(1, 5):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        network.train()(torch.rand(2, 3, 64, 64))  # counts batches, and moves their statistics
        timms.update(network, step=step)
        ours.update(network, step=step)
        torch.testing.assert_close(dict(ours.module.state_dict()), dict(timms.module.state_dict()), rtol=0, atol=0)
    assert int(ours.module.state_dict()["decode_head.fpn_bottleneck.bn.num_batches_tracked"]) == 4


@pytest.mark.parametrize(("name", "fused"), [("adamw", True), ("sgd", True), ("muon", None), ("lamb", None)])
def test_optimizers_that_can_are_fused(name, fused):
    settings = Settings.from_recipe(tiny_recipe(f"optimizer.name={name}"))
    objective = build_objective(settings, UperNet("test_fanet", 5), ZEROWASTE)
    assert build_optimizer(settings, objective).param_groups[0].get("fused") is fused


def test_recomputing_activations_changes_no_weight(tmp_path, finished):
    train(tiny_recipe("train.grad_checkpointing=true"), tmp_path)
    assert_same_weights(state(tmp_path), state(finished[0]))


def test_recomputing_activations_keeps_fewer_of_them():
    kept = []
    for checkpointing in (False, True):
        settings = Settings.from_recipe(tiny_recipe(f"train.grad_checkpointing={str(checkpointing).lower()}"))
        network = build_network(settings, ZEROWASTE, torch.device("cpu"), 1)
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            network.backbone(torch.zeros(2, 3, 64, 64))
        kept.append(total)
    assert kept[1] < kept[0] / 3


def test_backbone_without_checkpointing_is_refused_in_one_line(tmp_path):
    options = ("model.backbone=hrnet_w18_small", "model.backbone_kwargs={}", "train.grad_checkpointing=true")
    with pytest.raises(UserError, match="hrnet_w18_small has no gradient checkpointing"):
        train(tiny_recipe(*options), tmp_path)
