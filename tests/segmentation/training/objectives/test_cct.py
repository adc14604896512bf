"""The loss of cross-consistency training against its definition."""

import copy
import math

import pytest
import torch

from fanet.classes import ClassScheme
from fanet.segmentation import SegmentationModel
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.objectives.cct import MIX, CrossConsistency, mix_of
from fanet.segmentation.training.objectives.outputs import embed
from fanet.segmentation.training.objectives.perturbations import PERTURBATIONS, Objects


@pytest.fixture(scope="module")
def built() -> SegmentationModel:
    torch.manual_seed(0)
    network = SegmentationModel("test_fanet", 5, head_channels=8, aux_channels=8, dropout=0.0).train()
    torch.nn.init.normal_(network.decode_head.conv_seg.weight)  # predictions that differ from place to place
    return network


@pytest.fixture
def network(built) -> SegmentationModel:
    return copy.deepcopy(built)


def images(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", range(1, 40))
def test_decoders_are_mixed_as_in_the_paper(count):
    mix = mix_of(count)
    assert sum(mix.values()) == count
    assert all(abs(mix[kind] - count * share / 30) < 1 for kind, share in MIX.items())


def test_thirty_decoders_are_the_papers_and_seven_are_one_of_each():
    assert (
        mix_of(30)
        == MIX
        == {
            "vat": 2,
            "dropout": 6,
            "cutout": 6,
            "context": 2,
            "object": 2,
            "feature_drop": 6,
            "feature_noise": 6,
        }
    )
    assert set(mix_of(7).values()) == {1} and MIX.keys() == PERTURBATIONS.keys()


def test_number_of_decoders_may_be_given_for_each_kind(network):
    objective = CrossConsistency(network, SegmentationLoss(), 100, {"dropout": 2, "vat": 1})
    assert objective.kinds == ["vat", "dropout", "dropout"] and len(objective.decoders) == 3


@pytest.mark.parametrize(
    "step, weight",
    [(0, 30 * math.exp(-5)), (25, 30 * math.exp(-5 * 0.75**2)), (50, 30 * math.exp(-1.25)), (100, 30), (1000, 30)],
)
def test_weight_rises_over_the_first_tenth_of_the_run(network, step, weight):
    objective = CrossConsistency(network, SegmentationLoss(), 1000)
    if step:
        objective.after_step(step)
    assert objective.weight().item() == pytest.approx(weight, rel=1e-5)


def test_consistency_is_the_mean_squared_difference_of_probabilities_over_all_decoders(network):
    objective = CrossConsistency(network, SegmentationLoss(), 100, 7)
    embedding = embed(network, images(0)).detach()
    torch.manual_seed(1)
    found = objective.consistency(embedding).item()
    torch.manual_seed(1)
    logits = network.decode_head.conv_seg(embedding)
    main = logits.softmax(1)
    objects = Objects(logits.argmax(1, keepdim=True) != 0)
    assert objects.mask.any() and not objects.mask.all()
    total = 0.0
    for kind, decoder in zip(objective.kinds, objective.decoders, strict=True):
        other = decoder(PERTURBATIONS[kind](embedding, objects, decoder)).softmax(1)
        terms = [(a - b) ** 2 for a, b in zip(other.flatten().tolist(), main.flatten().tolist(), strict=True)]
        total += sum(terms) / len(terms)
    assert found == pytest.approx(total / 7, rel=1e-5)


def test_loss_is_the_supervised_one_and_the_weighted_consistency(network):
    objective = CrossConsistency(network, SegmentationLoss(), 100, 7)
    objective.after_step(10)
    labels = torch.randint(5, (2, 32, 32), generator=torch.Generator().manual_seed(2))
    torch.manual_seed(1)
    loss = objective(images(0), labels, images(1))
    torch.manual_seed(1)
    main, auxiliary = network(images(0))
    supervised = SegmentationLoss()(main, auxiliary, labels)
    consistency = objective.consistency(embed(network, images(1)))
    assert loss.item() == pytest.approx((supervised + 30 * consistency).item(), rel=1e-4)
    assert sum(objective.parts.values()).item() == pytest.approx(loss.item())
    assert objective.parts.keys() == {"supervised", "consistency"}


def test_no_gradient_flows_through_the_main_prediction(network):
    objective = CrossConsistency(network, SegmentationLoss(), 100, 7)
    objective.consistency(embed(network, images(0))).backward()
    assert network.decode_head.conv_seg.weight.grad is None
    assert all(decoder.weight.grad.any() for decoder in objective.decoders)
    assert network.backbone.model.stem.weight.grad.any()


@pytest.mark.parametrize("names, background", [("abcd", 0), (("can", "tin", "void", "lid"), 2)])
def test_background_is_found_by_its_name_or_is_the_first_class(network, names, background):
    network.classes = ClassScheme(tuple(names))
    assert CrossConsistency(network, SegmentationLoss(), 10, 1).background == background
