"""FANet's layer norms spelled out on plain NCHW maps, as its authors compute them.

PyTorch and ONNX Runtime have a fast layer norm over the last dimension, for which FANet keeps its maps channels-last.
OpenVINO recognises the spelled-out norm and chooses its own memory formats: it is faster without either.
"""

import copy
from typing import Any

import torch
from timm.layers import LayerNorm2d
from torch import nn

from fanet.backbone.blocks import ToChannelsLast


class SpelledLayerNorm(nn.Module):
    """A layer norm over the channels of NCHW maps: mean, variance, scale and shift one after the other.

    (B, C, H, W) -> (B, C, H, W); parameter names and results are those of timm's `LayerNorm2d`.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_channels, device=device, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight[:, None, None] + self.bias[:, None, None]


def spell_out(network: nn.Module) -> nn.Module:
    """Return a copy of a network in which layer norms are spelled out and no map changes its memory format."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ToChannelsLast):
                setattr(module, name, nn.Identity())
            elif type(child) is LayerNorm2d:
                norm = SpelledLayerNorm(child.weight.shape[0], child.eps)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(module, name, norm)
    return network
