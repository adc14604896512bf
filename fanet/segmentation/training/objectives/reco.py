"""ReCo: a mean teacher labels mixed images, and a contrastive loss separates the classes where they are uncertain.

Paper: "Bootstrapping Semantic Segmentation with Regional Contrast" (Liu, Zhi, Johns, Davison; ICLR 2022;
https://arxiv.org/abs/2104.04465). Not as in its code: the teacher is in evaluation mode, with the network's statistics
of batch norm, and mixed images get no further changes of their colours.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from fanet.segmentation.network.layers import ConvBnRelu
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.objectives.base import Objective
from fanet.segmentation.training.objectives.contrast import regional_contrast
from fanet.segmentation.training.objectives.outputs import Outputs, outputs_of, padded

CHANNELS = 256  # of the representation
DECAY = 0.99  # of the teacher's weights
CERTAIN = 0.97  # probability from which on a pixel counts as certain
TRUSTED = 0.7  # probability of the teacher from which on its labels take part in the contrastive loss


class RegionalContrast(Objective):
    """The supervised loss, the cross-entropy of pseudo-labels on mixed images, and the contrastive loss.

    Args:
        network: The model to train.
        loss: The loss of labelled images.
    """

    needs_unlabelled = True

    def __init__(self, network: SegmentationModel, loss: SegmentationLoss) -> None:
        super().__init__(network, loss)
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()
        width = network.decode_head.width
        self.representation = nn.Sequential(ConvBnRelu(width, CHANNELS, 3), nn.Conv2d(CHANNELS, CHANNELS, 1))

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        assert unlabelled is not None
        ignored = self.loss.ignore_index
        images, unlabelled = padded(self.network, images), padded(self.network, unlabelled)
        labels = padded(self.network, labels, ignored)
        with torch.no_grad():
            certainty, pseudo_labels = self.teacher(unlabelled).float().softmax(1).max(1)
        mixed, pseudo_labels, certainty = class_mix(unlabelled, pseudo_labels, certainty)
        labelled, guessed = outputs_of(self.network, images), outputs_of(self.network, mixed)
        trusted = torch.where(certainty >= TRUSTED, pseudo_labels, ignored)
        return self.sum_of(
            supervised=self.loss(labelled.main, labelled.auxiliary, labels),
            pseudo_labels=pseudo_label_loss(guessed.main.float(), pseudo_labels, certainty),
            contrast=self.contrast([labelled, guessed], [labels, trusted]),
        )

    @torch.compiler.disable  # sizes depend on the labels
    def contrast(self, outputs: list[Outputs], labels: list[torch.Tensor]) -> torch.Tensor:
        """Compute the contrastive loss of all pixels that have labels, at the scale of the embedding.

        Args:
            outputs: Of the network, for each batch.
            labels: Of each batch, (B, H, W) int64, with the ignored index where a pixel takes no part.
        """
        rows, classes, hard = [], [], []
        for output, label in zip(outputs, labels, strict=True):
            size = output.embedding.shape[-2:]
            # batch by batch, as the network saw them: batch norm would mix their statistics
            representation = self.representation(output.embedding).float()
            with torch.no_grad():
                counted = label != self.loss.ignore_index
                label = torch.where(counted, label, 0)
                own = output.main.float().softmax(1).gather(1, label[:, None])[:, 0]
                maps = torch.stack([label.float(), counted.float(), own], dim=1)
                label, counted, own = F.interpolate(maps, size, mode="nearest-exact").unbind(1)
            taken = counted.bool()
            rows.append(representation.movedim(1, -1)[taken])
            classes.append(label[taken].long())
            hard.append(own[taken] < CERTAIN)
        with torch.autocast(rows[0].device.type, enabled=False):
            return regional_contrast(torch.cat(rows), torch.cat(classes), torch.cat(hard))

    @torch.no_grad()
    def after_step(self, iteration: int) -> None:
        """Move the teacher's weights to the network's: by half after the second step, by a hundredth in the end."""
        decay = min(1 - 1 / iteration, DECAY)
        for own, given in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            own.lerp_(given, 1 - decay)
        for buffer, of_network in zip(self.teacher.buffers(), self.network.buffers(), strict=True):
            buffer.copy_(of_network)


@torch.compiler.disable  # so does how many classes there are
def class_mix(
    images: torch.Tensor, labels: torch.Tensor, certainty: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Paste half of the classes of each image, chosen at random, onto the next image (ClassMix; Olsson et al., 2021).

    Args:
        images: (B, C, H, W).
        labels: (B, H, W) int64.
        certainty: Probability of these labels, (B, H, W).

    Returns:
        The same of the mixed images.
    """
    pasted = []
    for label in labels:
        present = label.unique()
        chosen = present[torch.randperm(len(present), device=present.device)[: len(present) // 2]]
        pasted.append(torch.isin(label, chosen))
    mask = torch.stack(pasted)
    return (
        torch.where(mask[:, None], images, images.roll(-1, 0)),
        torch.where(mask, labels, labels.roll(-1, 0)),
        torch.where(mask, certainty, certainty.roll(-1, 0)),
    )


def pseudo_label_loss(logits: torch.Tensor, labels: torch.Tensor, certainty: torch.Tensor) -> torch.Tensor:
    """Compute cross-entropy, where each image has the weight of its share of certain pixels.

    Args:
        logits: (B, num_classes, H, W) float32.
        labels: (B, H, W) int64.
        certainty: Probability of these labels, (B, H, W).
    """
    weights = (certainty >= CERTAIN).float().mean((1, 2))
    losses = F.cross_entropy(logits, labels, reduction="none").mean((1, 2))
    return (weights * losses).mean()
