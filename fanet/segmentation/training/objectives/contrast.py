"""The contrastive loss of ReCo between the pixels of different classes.

Paper: "Bootstrapping Semantic Segmentation with Regional Contrast" (Liu, Zhi, Johns, Davison; ICLR 2022;
https://arxiv.org/abs/2104.04465), section 3.2. Random numbers come from PyTorch's global generators.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

QUERIES = 256  # of each class
NEGATIVES = 512  # of each query
TEMPERATURE = 0.5  # of the loss, and of the choice of negatives


class Classes(NamedTuple):
    """The classes among some pixels, which are sorted by class.

    Attributes:
        indices: The classes that occur, (P,).
        starts: Index of the first pixel of each, (P,).
        counts: Number of pixels of each, (P,).
    """

    indices: torch.Tensor
    starts: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def of(cls, labels: torch.Tensor) -> "Classes":
        """Count sorted labels, (N,)."""
        indices, counts = labels.unique_consecutive(return_counts=True)
        return cls(indices, counts.cumsum(0) - counts, counts)


def regional_contrast(representation: torch.Tensor, labels: torch.Tensor, hard: torch.Tensor) -> torch.Tensor:
    """Pull uncertain pixels to the mean of their class, and push them from pixels of other classes: InfoNCE.

    Similarities are cosines. The mean over the classes that occur; a class without hard pixels adds 0 to it. Only the
    queries get gradients.

    Args:
        representation: (N, D) float32, a row for each pixel.
        labels: Their classes, (N,) int64.
        hard: Which pixels may be queries, (N,) bool.

    Returns:
        A scalar; 0 if there are fewer than two classes.
    """
    order = labels.argsort(stable=True)
    representation, labels, hard = representation[order], labels[order], hard[order]
    classes = Classes.of(labels)
    if len(classes.indices) < 2:
        return 0 * representation.sum()  # all parameters must get gradients
    with torch.no_grad():
        keys = F.normalize(representation, dim=1)
        sums = torch.zeros(len(classes.indices), keys.shape[1], device=keys.device, dtype=keys.dtype)
        places = torch.repeat_interleave(classes.counts)
        means = F.normalize(sums.index_add(0, places, representation) / classes.counts[:, None], dim=1)
        choice = choice_of_negatives(means)
    total = 0 * representation.sum()
    for own in range(len(means)):
        start, count = int(classes.starts[own]), int(classes.counts[own])
        candidates = start + hard[start : start + count].nonzero()[:, 0]
        if len(candidates):
            chosen = candidates[torch.randint(len(candidates), (QUERIES,), device=keys.device)]
            total = total + info_nce(representation[chosen], means[own], keys, draw_negatives(choice[own], classes))
    return total / len(means)


def choice_of_negatives(means: torch.Tensor) -> torch.Tensor:
    """Return how likely a negative is of each class: softmax of the similarity to the query's class / `TEMPERATURE`.

    Args:
        means: The classes' mean representations, of length 1, (P, D).

    Returns:
        (P, P), a row for the class of the query; 0 for that class itself.
    """
    similarity = means @ means.T / TEMPERATURE
    return similarity.fill_diagonal_(-torch.inf).softmax(1)


def draw_negatives(choice: torch.Tensor, classes: Classes) -> torch.Tensor:
    """Draw pixels, first the class and then one of its pixels, each equally likely: (`QUERIES`, `NEGATIVES`) int64.

    Args:
        choice: Probability of each class, (P,).
        classes: The classes.
    """
    drawn = choice.multinomial(QUERIES * NEGATIVES, replacement=True)
    counts = classes.counts[drawn]
    offsets = (torch.rand(len(drawn), device=choice.device) * counts).long().clamp(max=counts - 1)
    return (classes.starts[drawn] + offsets).view(QUERIES, NEGATIVES)


def info_nce(
    queries: torch.Tensor, positive: torch.Tensor, keys: torch.Tensor, negatives: torch.Tensor
) -> torch.Tensor:
    """Compute the mean cross-entropy of picking the positive among the negatives by similarity / `TEMPERATURE`.

    Args:
        queries: (Q, D).
        positive: Of length 1, (D,).
        keys: All pixels, of length 1, (N, D).
        negatives: The keys that each query is compared with, (Q, K) int64.
    """
    queries = F.normalize(queries, dim=1)
    # All keys, not only the drawn ones: (Q, K, D) values would have to be kept for the backward pass.
    similarities = [(queries @ positive)[:, None], (queries @ keys.T).gather(1, negatives)]
    logits = torch.cat(similarities, dim=1) / TEMPERATURE
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))
