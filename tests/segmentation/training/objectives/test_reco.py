"""The losses and the teacher of ReCo against their definitions."""

import copy
import math

import pytest
import torch

from fanet.segmentation import SegmentationModel
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.objectives import reco
from fanet.segmentation.training.objectives.outputs import Outputs, outputs_of, padded
from fanet.segmentation.training.objectives.reco import RegionalContrast, class_mix, pseudo_label_loss


@pytest.fixture(scope="module")
def built() -> RegionalContrast:
    torch.manual_seed(0)
    network = SegmentationModel("test_fanet", 5, head_channels=8, aux_channels=8, dropout=0.0).train()
    return RegionalContrast(network, SegmentationLoss())


@pytest.fixture
def objective(built) -> RegionalContrast:
    return copy.deepcopy(built)


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pseudo_labels_weigh_by_the_share_of_certain_pixels_of_their_image():
    logits = torch.randn(3, 4, 5, 6, generator=rng(0))
    labels = torch.randint(4, (3, 5, 6), generator=rng(1))
    certainty = torch.rand(3, 5, 6, generator=rng(2)) * torch.tensor([1.0, 0.9, 1.1]).view(3, 1, 1)
    total = 0.0
    for image in range(3):
        certain = losses = 0.0
        for row in range(5):
            for column in range(6):
                certain += float(certainty[image, row, column] >= 0.97)
                values = logits[image, :, row, column].double().exp()
                losses -= math.log(values[labels[image, row, column]] / values.sum())
        total += certain / 30 * losses / 30
    assert 0 < total
    assert pseudo_label_loss(logits, labels, certainty).item() == pytest.approx(total / 3, rel=1e-5)


def test_class_mix_pastes_half_of_the_classes_onto_the_next_image():
    images, certainty = torch.randn(3, 3, 8, 8, generator=rng(0)), torch.rand(3, 8, 8, generator=rng(1))
    labels = torch.randint(5, (3, 8, 8), generator=rng(2))
    labels[2] = 1
    pasted_of_first = set()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed = class_mix(images, labels, certainty)
        for index in range(3):
            following = (index + 1) % 3
            pasted = (mixed[0][index] == images[index]).all(0)
            classes = set(labels[index][pasted].tolist())
            assert len(classes) == (0 if index == 2 else 2), "half of them, rounded down"
            assert torch.equal(pasted, torch.isin(labels[index], torch.tensor(sorted(classes), dtype=torch.int64)))
            for values, result in zip((images, labels, certainty), mixed, strict=True):
                assert torch.equal(result[index], torch.where(pasted, values[index], values[following]))
            pasted_of_first |= classes if index == 0 else set()
    assert pasted_of_first == {0, 1, 2, 3, 4}


def test_teacher_is_the_mean_of_the_first_networks_and_then_their_moving_average(objective):
    network, seen = objective.network, []
    name = "decode_head.conv_seg.weight"
    for step in range(1, 150):
        with torch.no_grad():
            network.get_parameter(name).add_(torch.randn(network.get_parameter(name).shape, generator=rng(step)))
            network.decode_head.fpn_bottleneck.bn.running_mean.fill_(step)
        objective.after_step(step)
        seen.append(network.get_parameter(name).detach().clone().double())
        if step <= 100:
            expected = torch.stack(seen).mean(0)
        else:
            expected = 0.99 * expected + 0.01 * seen[-1]
        found = objective.teacher.get_parameter(name).double()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        assert objective.teacher.decode_head.fpn_bottleneck.bn.running_mean.eq(step).all()


def test_teacher_is_a_copy_in_evaluation_that_is_not_trained(objective):
    assert not objective.teacher.training and objective.network.training
    own = {
        name
        for name, parameter in objective.named_parameters()
        if any(parameter is p for p in objective.own_parameters())
    }
    assert {name.split(".")[0] for name in own} == {"representation"}
    before = copy.deepcopy(objective.teacher.state_dict())
    images, labels = torch.randn(2, 3, 32, 32, generator=rng(0)), torch.randint(5, (2, 32, 32), generator=rng(1))
    objective(images, labels, torch.randn(2, 3, 32, 32, generator=rng(2))).backward()
    assert all(torch.equal(value, before[name]) for name, value in objective.teacher.state_dict().items())
    missing = [
        name for name, parameter in objective.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert not missing, "all parameters get gradients, as DDP wants it"
    assert objective.parts.keys() == {"supervised", "pseudo_labels", "contrast"}


def test_queries_are_uncertain_pixels_among_labelled_and_trusted_ones(objective, monkeypatch):
    taken = []
    monkeypatch.setattr(reco, "regional_contrast", lambda *arguments: taken.extend(arguments) or arguments[0].sum())
    logits = 3 * torch.randn(2, 5, 16, 16, generator=rng(0))
    embedding = torch.randn(2, 8, 4, 4, generator=rng(1))
    labels = torch.randint(5, (2, 16, 16), generator=rng(2))
    labels[0, :9] = 255
    objective.contrast([Outputs(logits, None, embedding)], [labels])
    representation, classes, hard = taken
    maps = objective.representation(embedding)
    rows = []
    for image in range(2):
        for row in range(4):
            for column in range(4):
                y, x = 4 * row + 2, 4 * column + 2
                label = int(labels[image, y, x])
                if label != 255:
                    sure = logits[image, :, y, x].softmax(0)[label].item()
                    rows.append((maps[image, :, row, column], label, sure < 0.97))
    assert classes.tolist() == [label for _, label, _ in rows] and hard.tolist() == [is_hard for *_, is_hard in rows]
    torch.testing.assert_close(representation, torch.stack([vector for vector, *_ in rows]), rtol=1e-4, atol=1e-4)


def test_only_labels_that_the_teacher_is_sure_of_take_part_in_the_contrast(objective, monkeypatch):
    given = []
    monkeypatch.setattr(objective, "contrast", lambda outputs, labels: given.extend(labels) or torch.zeros(()))
    torch.nn.init.normal_(objective.teacher.decode_head.conv_seg.weight, std=10)
    unlabelled = torch.randn(1, 3, 32, 32, generator=rng(0))  # mixed with itself
    labels = torch.randint(5, (1, 32, 32), generator=rng(1))
    objective(unlabelled, labels, unlabelled)
    probability, pseudo = objective.teacher(unlabelled).softmax(1).max(1)
    assert (probability >= 0.7).any() and (probability < 0.7).any()
    assert torch.equal(given[0], labels)
    assert torch.equal(given[1], torch.where(probability >= 0.7, pseudo, 255))


def test_outputs_are_those_of_the_network_and_padding_is_ignored(objective):
    network = objective.network
    images = torch.randn(2, 3, 32, 32, generator=rng(0))
    main, auxiliary = network(images)
    outputs = outputs_of(network, images)
    torch.testing.assert_close(outputs.main, main)
    torch.testing.assert_close(outputs.auxiliary, auxiliary)
    assert outputs.embedding.shape == (2, 8, 8, 8)
    network.multiple = 12
    assert padded(network, images).shape[-2:] == (36, 36)
    assert padded(network, torch.zeros(2, 30, 36), 255)[:, 30:].eq(255).all()
