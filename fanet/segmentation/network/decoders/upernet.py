"""UperNet's decoder, as FANet's authors used it: MMSegmentation's UPerHead.

Paper: "Unified Perceptual Parsing for Scene Understanding" (Xiao, Liu, Zhou, Jiang, Sun; ECCV 2018;
https://arxiv.org/abs/1807.10221). Parameter names are MMSegmentation's, so its checkpoints fit as they are.
"""

from collections.abc import Sequence

import torch
from torch import nn

from fanet.backbone.resize import resize_as
from fanet.errors import UserError
from fanet.segmentation.network.decoders.base import Decoder, register_decoder
from fanet.segmentation.network.layers import AdaptiveAvgPool, ConvBnRelu
from fanet.segmentation.network.resized import pays

POOL_SCALES = (1, 2, 3, 6)  # PSPNet's (Zhao et al., CVPR 2017), also in UperNet


@register_decoder(name="upernet")
class UperDecoder(Decoder):
    """Pyramid pooling on the last map, then a feature pyramid over all of them.

    [(B, C_1, H/4, W/4), …, (B, C_n, H/32, W/32)] -> (B, width, H/4, W/4)

    Args:
        channels: Channels of the maps, finest first.
        reductions: Not used.
        width: Channels of every intermediate map and of the embedding.
        pool_scales: Sides to which the last map is pooled.

    Raises:
        UserError: a pooling scale is below 1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        reductions: Sequence[int],
        width: int = 256,
        pool_scales: Sequence[int] = POOL_SCALES,
    ) -> None:
        super().__init__(width)
        if any(scale < 1 for scale in pool_scales):
            raise UserError(f"the pool_scales of upernet are at least 1, got {list(pool_scales)}")
        self.psp_modules = nn.ModuleList(
            nn.Sequential(AdaptiveAvgPool(scale), ConvBnRelu(channels[-1], width, 1)) for scale in pool_scales
        )
        self.bottleneck = ConvBnRelu(channels[-1] + len(pool_scales) * width, width, 3)
        self.lateral_convs = nn.ModuleList(ConvBnRelu(chs, width, 1) for chs in channels[:-1])
        self.fpn_convs = nn.ModuleList(ConvBnRelu(width, width, 3) for _ in channels[:-1])
        self.fpn_bottleneck = ConvBnRelu(len(channels) * width, width, 3)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """Add the context of every pooling scale to the last map: (B, C_n, h, w) -> (B, width, h, w)"""
        pooled = [resize_as(module(x), x) for module in self.psp_modules]
        return self.bottleneck(torch.cat([x] + pooled, dim=1))

    def embed(self, features: list[torch.Tensor]) -> torch.Tensor:
        maps = [lateral(features[i]) for i, lateral in enumerate(self.lateral_convs)]
        maps.append(self.pool(features[-1]))
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + resize_as(maps[i], maps[i - 1])
        for i, conv in enumerate(self.fpn_convs):
            maps[i] = conv(maps[i])
        if not torch.jit.is_scripting():
            if pays(maps[0], self.fpn_bottleneck, self.fpn_bottleneck.conv):
                return self.fpn_bottleneck.of_resized(maps)
        return self.fpn_bottleneck(torch.cat([maps[0]] + [resize_as(x, maps[0]) for x in maps[1:]], dim=1))
