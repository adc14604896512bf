"""What objectives need of a network besides its logits."""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from fanet.backbone.resize import resize_as
from fanet.segmentation.network.model import SegmentationModel


class Outputs(NamedTuple):
    """What a network gives in training: logits (B, num_classes, H, W) of both heads, the embedding (B, width, h, w)."""

    main: torch.Tensor
    auxiliary: torch.Tensor | None
    embedding: torch.Tensor


def embed(network: SegmentationModel, images: torch.Tensor) -> torch.Tensor:
    """Return the embedding of the decoder, from which the classifier predicts: (B, 3, H, W) -> (B, width, h, w)"""
    return network.decode_head.embed(network.forward_features(padded(network, images)))


def outputs_of(network: SegmentationModel, images: torch.Tensor) -> Outputs:
    """Run a network as in training, and keep its embedding.

    Args:
        network: The network.
        images: (B, 3, H, W), padded as the network needs them.
    """
    head = network.decode_head
    features = network.forward_features(images)
    embedding = head.embed(features)
    main = resize_as(head.conv_seg(head.dropout(embedding)), images)
    if network.auxiliary_head is None:
        return Outputs(main, None, embedding)
    return Outputs(main, resize_as(network.auxiliary_head(features[-2]), images), embedding)


def padded(network: SegmentationModel, maps: torch.Tensor, value: int = 0) -> torch.Tensor:
    """Pad images or labels (…, H, W) at the right and the bottom to the sides that a network takes."""
    height, width = maps.shape[-2:]
    return F.pad(maps, (0, -width % network.multiple, 0, -height % network.multiple), value=value)
