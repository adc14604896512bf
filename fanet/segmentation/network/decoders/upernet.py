"""The heads of UperNet, as FANet's authors used them: MMSegmentation's UPerHead and FCNHead.

Paper: "Unified Perceptual Parsing for Scene Understanding" (Xiao, Liu, Zhou, Jiang, Sun; ECCV 2018;
https://arxiv.org/abs/1807.10221). Parameter names are MMSegmentation's, so its checkpoints fit as they are.
All resizing is bilinear with align_corners False.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, H, W), bilinear with align_corners False"""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also trains where a channel holds a single value: batch size 1, pooled to 1x1.

    One value has no variance, and `nn.BatchNorm2d` raises. Here the running statistics normalise it, as in evaluation,
    and are left as they are; scale and shift are trained as ever.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ConvBnRelu(nn.Module):
    """Convolution without bias, batch norm, ReLU: (B, C_in, H, W) -> (B, C_out, H, W)"""

    def __init__(self, in_chs: int, out_chs: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = BatchNorm(out_chs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


def classifier(in_chs: int, num_classes: int) -> nn.Conv2d:
    """The 1x1 convolution to class logits; starts near zero (std 0.01, MMSegmentation's choice)."""
    conv = nn.Conv2d(in_chs, num_classes, 1)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


class UperHead(nn.Module):
    """Pyramid pooling on the last map, then a feature pyramid over all of them.

    [(B, C_1, H/4, W/4), …, (B, C_n, H/32, W/32)] -> (B, num_classes, H/4, W/4)
    """

    def __init__(
        self, in_chs: Sequence[int], num_classes: int, channels: int, pool_scales: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(scale), ConvBnRelu(in_chs[-1], channels, 1)) for scale in pool_scales
        )
        self.bottleneck = ConvBnRelu(in_chs[-1] + len(pool_scales) * channels, channels, 3)
        self.lateral_convs = nn.ModuleList(ConvBnRelu(chs, channels, 1) for chs in in_chs[:-1])
        self.fpn_convs = nn.ModuleList(ConvBnRelu(channels, channels, 3) for _ in in_chs[:-1])
        self.fpn_bottleneck = ConvBnRelu(len(in_chs) * channels, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = classifier(channels, num_classes)

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        """The last map with what surrounds each pixel at every pooling scale: (B, C_n, h, w) -> (B, channels, h, w)"""
        pooled = [resize(module(x), x.shape[-2:]) for module in self.psp_modules]
        return self.bottleneck(torch.cat([x, *pooled], dim=1))

    def forward(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        maps = [lateral(x) for lateral, x in zip(self.lateral_convs, features[:-1], strict=True)]
        maps.append(self.pool(features[-1]))
        for i in range(len(maps) - 1, 0, -1):
            maps[i - 1] = maps[i - 1] + resize(maps[i], maps[i - 1].shape[-2:])
        outs = [conv(x) for conv, x in zip(self.fpn_convs, maps[:-1], strict=True)] + [maps[-1]]
        outs = [outs[0], *(resize(x, outs[0].shape[-2:]) for x in outs[1:])]
        return self.conv_seg(self.dropout(self.fpn_bottleneck(torch.cat(outs, dim=1))))


class AuxiliaryHead(nn.Module):
    """A plain head on one inner map, for a second loss in training: (B, C, h, w) -> (B, num_classes, h, w)"""

    def __init__(self, in_chs: int, num_classes: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList([ConvBnRelu(in_chs, channels, 3)])
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = classifier(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_seg(self.dropout(self.convs[0](x)))
