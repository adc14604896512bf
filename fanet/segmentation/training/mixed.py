"""Mixed precision, where it is faster."""

import torch
from torch import nn

# Measured with torch 2.14 on a CPU with avx512_bf16: from this size of the kernel on, gradients of weights are slower.
_SLOW_KERNEL = 5


class Float32Conv2d(nn.Conv2d):
    """A convolution that stays in float32 under autocast on a CPU.

    (B, C, H, W) -> (B, C_out, H', W')
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


def keep_slow_in_float32(network: nn.Module) -> None:
    """Keep depthwise convolutions in float32 whose gradients oneDNN computes slowly in bfloat16: strided or large ones.

    The strided ones take a reference implementation that is up to a hundred times slower, and reads uninitialised
    memory on maps of one pixel. Parameters and results in evaluation stay the same.

    Args:
        network: It is changed.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            if max(module.stride) > 1 or max(module.kernel_size) >= _SLOW_KERNEL:
                module.__class__ = Float32Conv2d
