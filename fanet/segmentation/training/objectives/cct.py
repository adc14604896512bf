"""Cross-consistency training (CCT): images without labels are to be predicted alike however they are perturbed.

Paper: "Semi-Supervised Semantic Segmentation with Cross-Consistency Training" (Ouali, Hudelot, Tami; CVPR 2020;
https://arxiv.org/abs/2003.09005). There, the encoder ends in a pyramid pooling module and all decoders enlarge its map
by learned convolutions. Here the decoder of the network belongs to the encoder, its embedding is perturbed, and the
decoders of the paper are the classifiers on it; predictions are compared at the scale of the embedding.
"""

from collections.abc import Mapping
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import nn

from fanet.segmentation.network.layers import classifier
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.objectives.base import Objective
from fanet.segmentation.training.objectives.outputs import embed
from fanet.segmentation.training.objectives.perturbations import PERTURBATIONS, Objects

#: The auxiliary decoders of each kind in the paper's code, 30 in all.
MIX = {"vat": 2, "dropout": 6, "cutout": 6, "context": 2, "object": 2, "feature_drop": 6, "feature_noise": 6}
WEIGHT = 30.0  # of the consistency, once it has risen
RISE = 0.1  # share of the run over which it rises


class CrossConsistency(Objective):
    """The supervised loss, and the mean squared difference of auxiliary predictions from the main one.

    Each auxiliary decoder sees the embedding perturbed in its own way; no gradient flows through the main prediction.
    Objects are what is not predicted as background, the class of that name or else the first.

    Args:
        network: The model to train.
        loss: The loss of labelled images.
        iterations: Steps of the run.
        auxiliary_decoders: Their number, in the mix of the paper, or how many there are for each of `PERTURBATIONS`.
    """

    needs_unlabelled = True

    step: torch.Tensor

    def __init__(
        self,
        network: SegmentationModel,
        loss: SegmentationLoss,
        iterations: int,
        auxiliary_decoders: int | Mapping[str, int] = 30,
    ) -> None:
        super().__init__(network, loss)
        if isinstance(auxiliary_decoders, int):
            auxiliary_decoders = mix_of(auxiliary_decoders)
        self.kinds = [kind for kind in PERTURBATIONS for _ in range(auxiliary_decoders.get(kind, 0))]
        width, num_classes = network.decode_head.width, len(network.classes)
        self.decoders = nn.ModuleList(classifier(width, num_classes) for _ in self.kinds)
        self.background = network.classes.background or 0
        self.rise = max(1.0, RISE * iterations)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        assert unlabelled is not None
        main, auxiliary = self.network(images)
        supervised = self.loss(main, auxiliary, labels)
        consistency = self.consistency(embed(self.network, unlabelled))
        return self.sum_of(supervised=supervised, consistency=self.weight() * consistency)

    @torch.compiler.disable  # chance and the objects' boxes would break its graph at every perturbation
    def consistency(self, embedding: torch.Tensor) -> torch.Tensor:
        """Compute the mean over the auxiliary decoders of the squared differences from the main prediction.

        Args:
            embedding: (B, width, h, w).
        """
        with torch.no_grad():
            target = self.network.decode_head.conv_seg(embedding).float().softmax(1)
            objects = Objects(target.argmax(1, keepdim=True) != self.background)
        losses = []
        for kind, decoder in zip(self.kinds, self.decoders, strict=True):
            assert isinstance(decoder, nn.Conv2d)
            logits = decoder(PERTURBATIONS[kind](embedding, objects, decoder))
            losses.append(F.mse_loss(logits.float().softmax(1), target))
        return torch.stack(losses).mean()

    def weight(self) -> torch.Tensor:
        """Return the weight of the consistency in this step: 30 exp(-5 (1 - t)^2), t from 0 to 1 over a tenth of it."""
        share = (self.step / self.rise).clamp(max=1)
        return WEIGHT * torch.exp(-5 * (1 - share) ** 2)

    def after_step(self, iteration: int) -> None:
        self.step.fill_(iteration)


def mix_of(count: int) -> dict[str, int]:
    """Divide a number of decoders among the perturbations as in the paper, by largest remainders; 7 gives one of each.

    Args:
        count: 1 or more.
    """
    shares = {kind: Fraction(count * of_all, sum(MIX.values())) for kind, of_all in MIX.items()}
    mix = {kind: int(share) for kind, share in shares.items()}
    by_remainder = sorted(MIX, key=lambda kind: mix[kind] - shares[kind])
    for kind in by_remainder[: count - sum(mix.values())]:
        mix[kind] += 1
    return mix
