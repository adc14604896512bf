"""Each perturbation against the plain reading of its definition."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fanet.segmentation.training.objectives.perturbations import ERASED, PERTURBATIONS, Objects


@pytest.fixture
def embedding() -> torch.Tensor:
    return torch.rand(2, 6, 9, 8, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.fixture
def objects() -> Objects:
    """Two objects in the first image, one of them touching itself at a corner only, and none in the second."""
    mask = torch.zeros(2, 1, 9, 8, dtype=torch.bool)
    mask[0, 0, 0:5, 0:3] = mask[0, 0, 5:6, 3:4] = mask[0, 0, 1:4, 5:8] = True
    return Objects(mask)


@pytest.fixture
def decoder() -> nn.Conv2d:
    torch.manual_seed(5)
    return nn.Conv2d(6, 4, 1)


def perturbed(kind: str, *arguments) -> torch.Tensor:
    torch.manual_seed(3)
    return PERTURBATIONS[kind](*arguments)


def test_boxes_are_those_of_the_connected_regions(objects):
    assert sorted(objects.boxes[0]) == [(0, 0, 6, 4), (1, 5, 3, 3)] and objects.boxes[1] == []


def test_masks_keep_objects_or_background(embedding, objects, decoder):
    for kind, kept in (("context", objects.mask), ("object", ~objects.mask)):
        assert torch.equal(perturbed(kind, embedding, objects, decoder), torch.where(kept, embedding, 0))


def test_cutout_erases_a_box_inside_each_object(embedding, objects, decoder):
    places = set()
    for seed in range(30):
        torch.manual_seed(seed)
        erased = (PERTURBATIONS["cutout"](embedding, objects, decoder) == 0).all(1)
        assert not erased[1].any()
        for top, left, height, width in objects.boxes[0]:
            inside = erased[0, top : top + height, left : left + width].nonzero()
            (first_row, first_column), (last_row, last_column) = inside.amin(0).tolist(), inside.amax(0).tolist()
            sides = (last_row - first_row + 1, last_column - first_column + 1)
            assert sides == (int(ERASED * height), int(ERASED * width)) and len(inside) == sides[0] * sides[1]
            places.add((top, first_row, first_column))
        assert erased.sum() == 2 * 1 + 1 * 1
    assert {row for top, row, _ in places if top == 0} == {0, 1, 2, 3, 4}, "at any place inside"


def test_dropout_drops_whole_channels_and_scales_the_others(embedding, objects, decoder):
    factors = perturbed("dropout", embedding, objects, decoder) / embedding
    assert torch.allclose(factors, factors[:, :, :1, :1].expand_as(factors))
    assert set(factors.round(decimals=4).unique().tolist()) == {0.0, 2.0}


def test_feature_drop_drops_what_is_near_the_largest_activation(embedding, objects, decoder):
    shares = set()
    for seed in range(40):
        torch.manual_seed(seed)
        changed = PERTURBATIONS["feature_drop"](embedding, objects, decoder)
        for image, result in zip(embedding, changed, strict=True):
            attention = image.mean(0)
            dropped = (result == 0).all(0)
            assert torch.equal(result, torch.where(dropped, 0, image))
            lowest, highest_kept = attention[dropped].min(), attention[~dropped].max()
            assert lowest > highest_kept, "what is dropped is what is largest"
            assert (attention[dropped] >= 0.7 * attention.max()).all() and dropped[
                attention >= 0.9 * attention.max()
            ].all()
            shares.add(int(dropped.sum()))
    assert len(shares) > 5, "from a random share on"


def test_feature_noise_is_relative_uniform_and_of_every_value(embedding, objects, decoder):
    big = embedding.repeat(4, 4, 4, 4)
    noise = (perturbed("feature_noise", big, objects, decoder) / big - 1).flatten()
    assert noise.min() >= -0.3001 and noise.max() <= 0.3001 and abs(noise.mean()) < 0.01
    assert noise.std().item() == pytest.approx(0.6 / 12**0.5, rel=0.05)


def test_adversarial_step_is_the_normalised_gradient_of_the_divergence(embedding, objects, decoder):
    step = perturbed("vat", embedding, objects, decoder) - embedding
    torch.manual_seed(3)
    probe = torch.randn_like(embedding).double()
    probe = probe / probe.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    z, weight, bias = embedding.double(), decoder.weight.detach().double(), decoder.bias.detach().double()
    before = F.conv2d(z, weight, bias).softmax(1)
    direction = (1e-6 * probe).requires_grad_()
    after = F.conv2d(z + direction, weight, bias).log_softmax(1)
    F.kl_div(after, before, reduction="batchmean").backward()
    expected = 2 * direction.grad / direction.grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert step.flatten(1).norm(dim=1).tolist() == pytest.approx([2, 2], rel=1e-5)
    torch.testing.assert_close(step.double(), expected, rtol=1e-3, atol=1e-5)


def test_adversarial_step_changes_the_prediction_more_than_a_random_one(embedding, objects, decoder):
    def divergence(z: torch.Tensor) -> float:
        return F.kl_div(decoder(z).log_softmax(1), decoder(embedding).softmax(1), reduction="batchmean").item()

    noise = torch.randn_like(embedding)
    noise = embedding + 2 * noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert divergence(perturbed("vat", embedding, objects, decoder)) > 3 * divergence(noise)


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_gradients_flow_and_bfloat16_stays(kind, embedding, objects, decoder):
    embedding = embedding.bfloat16().requires_grad_()
    changed = perturbed(kind, embedding, objects, decoder)
    assert changed.dtype == torch.bfloat16 and changed.isfinite().all()
    changed.float().sum().backward()
    assert embedding.grad.any()


def test_adversarial_step_of_a_constant_prediction_is_finite(embedding, objects, decoder):
    nn.init.zeros_(decoder.weight)
    assert torch.equal(perturbed("vat", embedding, objects, decoder), embedding)
