"""A linear decoder: nothing between the backbone's features and the classifier."""

from collections.abc import Sequence

import torch

from fanet.backbone.resize import resize_as
from fanet.segmentation.network.decoders.base import Decoder, register_decoder


@register_decoder
class Linear(Decoder):
    """Resizes all maps to the finest and concatenates them; the model's logits are then linear in the features.

    [(B, C_1, H/4, W/4), …, (B, C_n, H/32, W/32)] -> (B, C_1 + … + C_n, H/4, W/4)

    Args:
        channels: Channels of the maps.
        reductions: Not used.
        width: Not used: the embedding is as wide as all maps together.
    """

    def __init__(self, channels: Sequence[int], reductions: Sequence[int], width: int = 256) -> None:
        super().__init__(sum(channels))

    def embed(self, features: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(features[:1] + [resize_as(x, features[0]) for x in features[1:]], dim=1)
