"""What training minimises."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
import torch.nn.functional as F

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.recipes.fields import AtLeast, Between, Positive, PositiveOr

#: `class_weights` that follow from the labels of the training split, by `balanced_weights`.
AUTO = "auto"


@dataclass(frozen=True)
class LossSettings:
    """The recipe's section `loss`; see `SegmentationLoss`."""

    aux_weight: Annotated[float, AtLeast(0)]
    class_weights: Annotated[list[float] | str | None, PositiveOr(AUTO)]
    focal_gamma: Annotated[float, AtLeast(0)]
    dice_weight: Annotated[float, AtLeast(0)]
    hard_pixels: Annotated[float, Positive(), Between(0, 1)] = 1.0

    def build(self, classes: ClassScheme) -> "SegmentationLoss":
        """Build the loss for these classes; weights that the labels decide are set once these have been counted.

        Raises:
            UserError: There is not one weight for each class.
        """
        weights = None if isinstance(self.class_weights, str) else self.class_weights
        if weights and len(weights) != len(classes):
            raise UserError(f"loss.class_weights needs one number for each of {len(classes)} classes")
        return SegmentationLoss(**asdict(self) | {"class_weights": weights}, ignore_index=classes.ignore_index)


@dataclass(frozen=True)
class SegmentationLoss:
    """Cross-entropy or focal loss, with or without Dice, of the main and the auxiliary logits.

    Pixels labelled `ignore_index` count in none of the terms; if all pixels are, the loss is 0.

    Attributes:
        aux_weight: Weight of the auxiliary logits' loss.
        class_weights: Weight of each class's pixels, in a weighted mean.
        focal_gamma: Exponent of focal loss (Lin et al., ICCV 2017, equation 4); 0 is plain cross-entropy.
        dice_weight: Weight of the Dice term; 0 leaves it out.
        hard_pixels: Share of the counted pixels, those with the largest losses, of which cross-entropy or focal loss
            is the mean; 1 takes all.
        ignore_index: Label of pixels that do not count.
    """

    aux_weight: float = 0.4
    class_weights: Sequence[float] | None = None
    focal_gamma: float = 0.0
    dice_weight: float = 0.0
    hard_pixels: float = 1.0
    ignore_index: int = 255

    def __call__(self, main: torch.Tensor, auxiliary: torch.Tensor | None, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            main: Logits, (B, num_classes, H, W).
            auxiliary: Logits of the auxiliary head, same shape, or None for a network without one.
            target: Class indices or `ignore_index`, (B, H, W), int64.
        """
        loss = self.of_logits(main.float(), target)
        if auxiliary is None:
            return loss
        return loss + self.aux_weight * self.of_logits(auxiliary.float(), target)

    def of_logits(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of one head's logits, (B, num_classes, H, W) float32."""
        weights = None if self.class_weights is None else logits.new_tensor(self.class_weights)
        loss = pixel_loss(logits, target, self.ignore_index, weights, self.focal_gamma, self.hard_pixels)
        if self.dice_weight:
            loss = loss + self.dice_weight * dice_loss(logits, target, self.ignore_index)
        return loss


def pixel_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    ignore_index: int,
    class_weights: torch.Tensor | None = None,
    focal_gamma: float = 0.0,
    hard_pixels: float = 1.0,
) -> torch.Tensor:
    """Compute the mean over counted pixels of `-(1 - p)^gamma log p`, with p the probability of the true class.

    With `hard_pixels` it is the mean over those pixels of the batch whose losses, class weights included, are largest:
    DeepLab's hard pixel mining (Yang et al., DeeperLab, arXiv:1902.05093), which takes its share of all pixels, ignored
    ones included; here it is of the counted ones.

    Args:
        logits: (B, C, H, W).
        target: (B, H, W) int64.
        ignore_index: Label of pixels that do not count.
        class_weights: (C,), the weight of a pixel by its true class; by default 1.
        focal_gamma: 0 gives cross-entropy.
        hard_pixels: Share of the counted pixels that is taken, above 0; 1 takes all.
    """
    entropy = F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none")  # 0 where ignored
    if focal_gamma:
        # The lower bound keeps the gradient finite if the probability is 1 and gamma below 1.
        entropy = (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).eps) ** focal_gamma * entropy
    counted = target != ignore_index
    weights = counted.to(entropy.dtype)
    if class_weights is not None:
        weights = weights * class_weights[torch.where(counted, target, 0)]
    losses = entropy * weights
    if hard_pixels < 1:
        count = max(1, int(hard_pixels * counted.sum()))  # if no pixel counts, one of loss and weight 0
        places = losses.detach().masked_fill(~counted, -1).flatten().topk(count).indices
        losses, weights = losses.flatten()[places], weights.flatten()[places]
    # Not `mean()`, which is nan over no pixels at all.
    return losses.sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def dice_loss(logits: torch.Tensor, target: torch.Tensor, ignore_index: int) -> torch.Tensor:
    """Compute one minus the soft Dice coefficient, averaged over the classes that occur in the batch.

    Per class `2 sum(p t) / (sum(p) + sum(t))` over the counted pixels of the whole batch, with probabilities p and
    ground truth t in {0, 1} (Milletari et al., 3DV 2016, with plain sums in the denominator).

    Args:
        logits: (B, C, H, W).
        target: (B, H, W) int64.
        ignore_index: Label of pixels that do not count.
    """
    counted = (target != ignore_index)[:, None]
    probabilities = logits.softmax(1) * counted
    truth = F.one_hot(torch.where(counted[:, 0], target, 0), logits.shape[1]).movedim(-1, 1) * counted
    overlap = (probabilities * truth).sum((0, 2, 3))
    size = probabilities.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    return ((1 - 2 * overlap / size.clamp(min=1e-6)) * present).sum() / present.sum().clamp(min=1)
