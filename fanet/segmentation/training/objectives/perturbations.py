"""The perturbations of cross-consistency training: changes of an embedding that should not change its prediction.

Paper: "Semi-Supervised Semantic Segmentation with Cross-Consistency Training" (Ouali, Hudelot, Tami; CVPR 2020;
https://arxiv.org/abs/2003.09005), section 3.2. The constants are those of its code. Random numbers come from PyTorch's
global generators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import nn

from fanet.errors import needs_extra

DROPOUT = 0.5  # share of channels
ERASED = 0.4  # sides of the erased box, as a share of the object's
DROPPED_FROM = (0.7, 0.9)  # share of the largest activation of an image from which on positions are dropped
NOISE = 0.3  # largest relative change of a value
XI, EPSILON = 1e-6, 2.0  # Euclidean lengths, in an image's embedding, of the probing and of the adversarial step

Box = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True)
class Objects:
    """The objects of the main prediction.

    Attributes:
        mask: Where it is not background, (B, 1, h, w) bool.
    """

    mask: torch.Tensor

    @cached_property
    def boxes(self) -> list[list[Box]]:
        """The bounding boxes of the connected regions (8 neighbours), image by image."""
        with needs_extra("seg", "cv2"):
            import cv2
        found = []
        for mask in self.mask[:, 0].to("cpu", torch.uint8).numpy():
            regions = cv2.connectedComponentsWithStats(mask)[2][1:].tolist()  # the first is the background
            found.append([(top, left, height, width) for left, top, width, height, _ in regions])
        return found


#: Changes an embedding, (B, C, h, w), given the objects and the decoder that is to withstand the change.
Perturbation = Callable[[torch.Tensor, Objects, nn.Conv2d], torch.Tensor]


def adversarial(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Take the step of length `EPSILON` that changes the decoder's own prediction most (I-VAT; Miyato et al., 2018).

    Its direction is the gradient, after a step of length `XI` in a random direction, of the Kullback-Leibler divergence
    from the prediction before that step. As the decoder is linear, the gradient has a closed form; it is computed
    without the sum of embedding and step, in which a step this small is lost in 32 bits.
    """
    with torch.no_grad(), torch.autocast(embedding.device.type, enabled=False):
        z, weight = embedding.float(), decoder.weight.float()
        bias = None if decoder.bias is None else decoder.bias.float()
        before = F.conv2d(z, weight, bias).softmax(1)
        change = torch.expm1(F.conv2d(XI * _unit(torch.randn_like(z)), weight))
        mean = (before * change).sum(1, keepdim=True)
        difference = before * (change - mean) / (1 + mean)  # of the predictions, after the step and before it
        direction = _unit(F.conv_transpose2d(difference, weight))
    return embedding + EPSILON * direction.to(embedding.dtype)


def dropout(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Drop whole channels."""
    return F.dropout2d(embedding, DROPOUT)


def cutout(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Erase a box at a random place inside the bounding box of each object."""
    kept = torch.ones(len(embedding), 1, *embedding.shape[-2:])
    for image, boxes in zip(kept[:, 0], objects.boxes, strict=True):
        for top, left, *sides in boxes:
            height, width = (int(ERASED * side) for side in sides)
            top += int(torch.randint(sides[0] - height + 1, ()))
            left += int(torch.randint(sides[1] - width + 1, ()))
            image[top : top + height, left : left + width] = 0
    return embedding * kept.to(embedding)


def mask_context(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Keep the objects only."""
    return embedding * objects.mask


def mask_objects(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Keep the background only."""
    return embedding * ~objects.mask


def feature_drop(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Drop the positions with the strongest activations, averaged over the channels."""
    attention = embedding.detach().mean(1, keepdim=True)
    low, high = DROPPED_FROM
    share = low + (high - low) * torch.rand(len(embedding), 1, 1, 1)
    return embedding * (attention < share.to(attention) * attention.amax((2, 3), keepdim=True))


def feature_noise(embedding: torch.Tensor, objects: Objects, decoder: nn.Conv2d) -> torch.Tensor:
    """Change every value by a random share of itself."""
    return embedding * (1 + NOISE * (2 * torch.rand_like(embedding) - 1))


PERTURBATIONS: dict[str, Perturbation] = {
    "vat": adversarial,
    "dropout": dropout,
    "cutout": cutout,
    "context": mask_context,
    "object": mask_objects,
    "feature_drop": feature_drop,
    "feature_noise": feature_noise,
}


def _unit(x: torch.Tensor) -> torch.Tensor:
    """Scale each image's maps to length 1."""
    # the largest value first: squares of gradients this small would underflow
    x = x / x.abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return x / x.flatten(1).norm(dim=1).clamp(min=torch.finfo(x.dtype).tiny)[:, None, None, None]
