"""The contrastive loss against plain loops."""

import math

import numpy as np
import pytest
import torch

from fanet.segmentation.training.objectives import contrast
from fanet.segmentation.training.objectives.contrast import (
    NEGATIVES,
    QUERIES,
    Classes,
    choice_of_negatives,
    draw_negatives,
    info_nce,
    regional_contrast,
)


@pytest.fixture
def pixels() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """60 pixels of the classes 0, 2 and 5 in random order: representation, labels, hardness."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 2, 5])[torch.randint(3, (60,), generator=rng)]
    representation = torch.randn(60, 4, generator=rng) + labels[:, None] * torch.tensor([0.5, -0.3, 0.1, 0.2])
    return representation, labels, torch.rand(60, generator=rng) < 0.5


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def plain(representation, labels, hard, queries, negatives) -> float:
    """The loss of given draws: `queries[c]` rows for each class, `negatives[c]` rows for each of them."""
    losses = []
    for label in sorted(set(labels.tolist())):
        positive = representation[labels == label].mean(0)
        terms = []
        for query, against in zip(queries[label], negatives[label], strict=True):
            scores = [cosine(representation[query], positive) / 0.5]
            scores += [cosine(representation[query], representation[index]) / 0.5 for index in against]
            terms.append(math.log(sum(math.exp(score - scores[0]) for score in scores)))
        losses.append(sum(terms) / len(terms) if terms else 0.0)
    return sum(losses) / len(losses)


def drawn(monkeypatch, representation, labels, hard):
    """Run the loss, and return it with what it drew, as indices of the pixels given."""
    queries, negatives = {}, {}
    order = labels.argsort(stable=True)
    sorted_keys = representation[order]

    def spied(chosen, positive, keys, against):
        rows = [int((sorted_keys == row).all(1).nonzero()[0]) for row in chosen]
        label = int(labels[order][rows[0]])
        queries[label] = order[rows].tolist()
        negatives[label] = order[against].tolist()
        return info_nce(chosen, positive, keys, against)

    monkeypatch.setattr(contrast, "info_nce", spied)
    monkeypatch.setattr(contrast, "QUERIES", 8)
    monkeypatch.setattr(contrast, "NEGATIVES", 16)
    torch.manual_seed(1)
    loss = regional_contrast(representation, labels, hard)
    return loss, queries, negatives


def test_loss_of_its_draws_is_that_of_plain_loops(monkeypatch, pixels):
    representation, labels, hard = pixels
    loss, queries, negatives = drawn(monkeypatch, representation, labels, hard)
    assert queries.keys() == {0, 2, 5}
    for label in queries:
        assert len(queries[label]) == 8 and all(hard[row] and labels[row] == label for row in queries[label])
        assert len(negatives[label][0]) == 16
        assert all(labels[row] != label for against in negatives[label] for row in against)
    numbers = [values.numpy().astype(np.float64) for values in (representation, labels, hard)]
    assert loss.item() == pytest.approx(plain(*numbers, queries, negatives), rel=1e-5)


def test_class_without_hard_pixels_adds_nothing_but_counts(monkeypatch, pixels):
    representation, labels, hard = pixels
    hard = hard & (labels != 2)
    loss, queries, negatives = drawn(monkeypatch, representation, labels, hard)
    assert queries.keys() == {0, 5}
    numbers = [values.numpy().astype(np.float64) for values in (representation, labels, hard)]
    empty = {2: []}
    assert loss.item() == pytest.approx(plain(*numbers, queries | empty, negatives | empty), rel=1e-5)


def test_all_constants_are_the_papers():
    assert (QUERIES, NEGATIVES, contrast.TEMPERATURE) == (256, 512, 0.5)


def test_with_one_vector_for_each_class_the_loss_has_a_closed_form():
    vectors = torch.tensor([[2.0, 0, 0], [0, 3.0, 0]])
    labels = torch.tensor([0, 1, 0, 1, 1])
    loss = regional_contrast(vectors[labels], labels, torch.ones(5, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(1 + 512 * math.exp((0 - 1) / 0.5)), rel=1e-5)


def test_negatives_are_drawn_by_the_similarity_of_the_class_means():
    angles = torch.tensor([0.0, 0.6, 1.8])
    means = torch.stack([angles.cos(), angles.sin()], dim=1)
    choice = choice_of_negatives(means)
    weights = [math.exp(math.cos(0.6) / 0.5), math.exp(math.cos(1.8) / 0.5)]
    assert choice[0].tolist() == pytest.approx([0, weights[0] / sum(weights), weights[1] / sum(weights)], rel=1e-5)
    assert choice.diagonal().tolist() == [0, 0, 0]
    classes = Classes.of(torch.tensor([4] * 3 + [6] * 5 + [7] * 2))
    torch.manual_seed(0)
    counts = torch.bincount(draw_negatives(choice[0], classes).flatten(), minlength=10).double()
    shares = (counts / counts.sum()).tolist()
    expected = [0] * 3 + [choice[0, 1].item() / 5] * 5 + [choice[0, 2].item() / 2] * 2
    assert shares == pytest.approx(expected, abs=0.005)


def test_only_queries_get_gradients(pixels):
    representation, labels, hard = pixels
    representation.requires_grad_()
    regional_contrast(representation, labels, hard).backward()
    assert not representation.grad[~hard].any() and representation.grad[hard].any(1).all()


@pytest.mark.parametrize("chosen", [slice(0), slice(1), slice(None)])
def test_fewer_than_two_classes_give_a_loss_of_0_with_gradients_of_0(pixels, chosen):
    representation = pixels[0].requires_grad_()
    rows = representation[chosen]
    loss = regional_contrast(rows, torch.zeros(len(rows), dtype=torch.int64), torch.ones(len(rows), dtype=torch.bool))
    loss.backward()
    assert loss == 0 and representation.grad is not None and not representation.grad.any()
