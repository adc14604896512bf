"""Mixed precision, where it is faster."""

import torch
from timm.layers import LayerNorm2d
from torch import nn

# Measured with torch 2.14 on a CPU with avx512_bf16: from this size of the kernel on, gradients of weights are slower,
# and layer norms over channels that are not a multiple of this (12 to 392) take two to three times as long.
_SLOW_KERNEL, _VECTOR = 5, 16


class Float32Conv2d(nn.Conv2d):
    """A convolution that stays in float32 under autocast on a CPU.

    (B, C, H, W) -> (B, C_out, H', W')
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


class Float32LayerNorm2d(LayerNorm2d):
    """A layer norm that computes in float32 under autocast on a CPU: (B, C, H, W) -> (B, C, H, W) of the same type"""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


def keep_slow_in_float32(network: nn.Module) -> None:
    """Keep in float32 what is slower in bfloat16: some depthwise convolutions and layer norms.

    oneDNN computes the gradients of strided or large depthwise convolutions slowly. The strided ones take a reference
    implementation that is up to a hundred times slower, and reads uninitialised memory on maps of one pixel. Layer
    norms are slow in PyTorch where the channels do not fill its vectors. Parameters and results in evaluation stay the
    same.

    Args:
        network: It is changed.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            if max(module.stride) > 1 or max(module.kernel_size) >= _SLOW_KERNEL:
                module.__class__ = Float32Conv2d
        elif type(module) is LayerNorm2d and module.normalized_shape[-1] % _VECTOR:
            module.__class__ = Float32LayerNorm2d
