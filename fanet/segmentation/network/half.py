"""Making models fit float16, which ends at 65,504, without changing what they compute."""

import math

import torch
from torch import nn

from fanet.segmentation.network.layers import ConvBnRelu

# A quarter of what float16 holds, for outputs six standard deviations from their mean: images differ.
LIMIT, DEVIATIONS = 65504 / 4, 6


@torch.no_grad()
def scale_for_half(model: nn.Module) -> int:
    """Scale convolutions before batch norms, in place, such that their outputs fit float16.

    The last map of FANet has no norm, so a decoder's first convolutions may sum to more than float16 holds. The batch
    norm after them divides by the size of its input: the convolution is multiplied by a power of 2, and the running
    statistics with it, so outputs in evaluation stay the same up to rounding. The statistics tell how large they are.

    Args:
        model: A segmentation model that has been trained.

    Returns:
        The number of convolutions that were scaled; 0 for a model that fits as it is.
    """
    scaled = 0
    for module in model.modules():
        if not isinstance(module, ConvBnRelu):
            continue
        norm = module.bn
        assert norm.running_mean is not None and norm.running_var is not None, "these norms track statistics"
        largest = float((norm.running_mean.abs() + DEVIATIONS * norm.running_var.sqrt()).max())
        if not LIMIT < largest < math.inf:
            continue
        factor = 2.0 ** -math.ceil(math.log2(largest / LIMIT))
        before = (norm.running_var.double() + norm.eps).sqrt()
        module.conv.weight.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.mul_(factor**2)
        after = (norm.running_var.double() + norm.eps).sqrt()
        norm.weight.mul_((after / (factor * before)).to(norm.weight.dtype))  # eps does not scale
        scaled += 1
    return scaled
