"""DeepLabv3+'s decoder: atrous spatial pyramid pooling on the last map, refined by the finest.

Paper: "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation" (Chen, Zhu, Papandreou,
Schroff, Adam; ECCV 2018; https://arxiv.org/abs/1802.02611). Convolutions are plain, as with the paper's ResNet-101.
torchvision's ASPP does the same, but cannot train on a single image: its pooled branch has one value per channel.
"""

from collections.abc import Sequence

import torch
from torch import nn

from fanet.backbone.resize import resize_as
from fanet.errors import UserError
from fanet.segmentation.network.decoders.base import Decoder, register_decoder
from fanet.segmentation.network.layers import ConvBnRelu

RATES = (6, 12, 18)  # section 4; for maps of 1/16, and doubled for 1/8 (DeepLabv3, arXiv 1706.05587, section 3.3)
LOW_CHANNELS = 48  # section 4.1 and table 1


class AtrousPyramid(nn.Module):
    """ASPP: a 1x1 convolution, dilated 3x3 ones and global pooling in parallel, joined by a 1x1 convolution.

    (B, C, h, w) -> (B, width, h, w)
    """

    def __init__(self, in_chs: int, width: int, rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [ConvBnRelu(in_chs, width, 1), *(ConvBnRelu(in_chs, width, 3, dilation=rate) for rate in rates)]
        )
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvBnRelu(in_chs, width, 1))
        self.project = ConvBnRelu((len(rates) + 2) * width, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = self.image(x).expand(-1, -1, x.shape[2], x.shape[3])
        return self.dropout(self.project(torch.cat([conv(x) for conv in self.convs] + [image], dim=1)))


@register_decoder
class DeepLabV3Plus(Decoder):
    """Context from the last map, boundaries from the finest.

    [(B, C_1, H/4, W/4), …, (B, C_n, H/16, W/16)] -> (B, width, H/4, W/4)

    The paper's backbones end at 1/16 or 1/8 of the image: set `backbone_kwargs={"output_stride": 16}`.

    Args:
        channels: Channels of the maps; the first and the last map are used.
        reductions: Strides of the maps in pixels of the image.
        width: Channels of the pyramid and of the embedding.
        rates: Dilations of the pyramid; by default the paper's for the last map's stride.
        low_channels: Channels to which the finest map is reduced.
        aspp_dropout: Dropout rate after the pyramid; 0.1 in the authors' TensorFlow code.

    Raises:
        UserError: there is a single map, or a rate below 1.
    """

    def __init__(
        self,
        channels: Sequence[int],
        reductions: Sequence[int],
        width: int = 256,
        rates: Sequence[int] | None = None,
        low_channels: int = LOW_CHANNELS,
        aspp_dropout: float = 0.1,
    ) -> None:
        super().__init__(width)
        if len(channels) < 2:
            raise UserError("deeplabv3plus needs two feature maps: choose other out_indices")
        if rates is None:
            rates = [2 * rate for rate in RATES] if reductions[-1] <= 8 else RATES
        if any(rate < 1 for rate in rates):
            raise UserError(f"the rates of deeplabv3plus are dilations of at least 1, got {list(rates)}")
        self.aspp = AtrousPyramid(channels[-1], width, rates, aspp_dropout)
        self.low = ConvBnRelu(channels[0], low_channels, 1)
        self.refine = nn.Sequential(ConvBnRelu(width + low_channels, width, 3), ConvBnRelu(width, width, 3))

    def embed(self, features: list[torch.Tensor]) -> torch.Tensor:
        low = self.low(features[0])
        context = resize_as(self.aspp(features[-1]), low)
        return self.refine(torch.cat([context, low], dim=1))
