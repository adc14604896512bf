"""A 3x3 convolution of maps that were resized to one size, without resizing them.

Resizing is linear and acts on each channel by itself, so it can be exchanged with the sums over channels: first nine
1x1 convolutions, one for each tap of the kernel, at the small size of a map; then the nine results are resized, shifted
by their tap and summed, along the width and then along the height. Of UperNet's last convolution, over four maps of
which three are resized, this leaves less than half of the multiplications.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor

from fanet.segmentation.bilinear import is_watched, resize

# Output rows or columns computed at a time: the matrices of weights are banded, and a block meets few inputs. Training
# computes short sides at once: a part of a batch of matrices would be copied.
_BLOCK, _ROWS = 32, 16
_SHORT = 64
# In inference: below this width the resized maps are small enough that resizing them costs less than the steps saved.
_SMALLEST_WIDTH = 64


def pays(x: Tensor, block: nn.Module, conv: nn.Module) -> bool:
    """Whether to avoid resizing in front of a convolution, which is a part of `block`, of maps like `x`, (B, C, H, W).

    Measured on CPUs: in training in float32 and under autocast, in inference in float32. Where somebody watches or has
    replaced the convolution (hooks, counters of operations, `torch.func`, tracers, compilers, adapters), it is called.
    """
    if is_watched(x) or x.device.type != "cpu":
        return False
    if not torch.is_grad_enabled():
        if x.dtype != torch.float32 or x.shape[1] < _SMALLEST_WIDTH or torch.is_autocast_enabled("cpu"):
            return False
    if is_functorch_wrapped_tensor(x):
        return False
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in (block, conv)]
    return type(conv) is nn.Conv2d and not any(hooks)


def conv_of_resized(weight: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Return `F.conv2d(torch.cat([resize_as(x, maps[0]) for x in maps], dim=1), weight, padding=1)`, up to rounding.

    Args:
        weight: (C_out, sum of C_i, 3, 3)
        maps: (B, C_i, h_i, w_i), finest first.

    Returns:
        (B, C_out, H, W) at the size of the first map.
    """
    first = maps[0]
    weights = weight.split([x.shape[1] for x in maps], dim=1)
    total = F.conv2d(first, weights[0], padding=1)
    if torch.is_grad_enabled():
        for x, part in zip(maps[1:], weights[1:], strict=True):
            total = total + _of_batch(part, x, total.shape[2], total.shape[3])
        return total
    total = total.permute(0, 2, 3, 1).contiguous()
    for x, part in zip(maps[1:], weights[1:], strict=True):
        for image, sum_ in zip(x, total, strict=True):
            _add_one(sum_, part, image)
    return total.permute(0, 3, 1, 2)


def _of_batch(weight: Tensor, x: Tensor, new_height: int, new_width: int) -> Tensor:
    """Return the convolution of maps (B, C, h, w), as if they had been resized, (B, C_out, H, W); for training."""
    (batch, _, height, width), outs = x.shape, weight.shape[0]
    kernel = weight.permute(3, 2, 0, 1).reshape(-1, x.shape[1], 1, 1)  # (column of the kernel, row, C_out)
    products = F.conv2d(x, kernel).permute(0, 2, 3, 1).reshape(batch * height, width * 3, 3 * outs)
    rows = _StretchedSide.apply(products, width, new_width).view(batch, height, new_width, 3, outs)
    rows = rows.transpose(2, 3).reshape(batch, height * 3, new_width * outs)
    total = _StretchedSide.apply(rows, height, new_height).view(batch, new_height, new_width, outs)
    return total.permute(0, 3, 1, 2)


class _StretchedSide(torch.autograd.Function):
    """Resize one side and sum over its taps: (N, 3 * old, n) -> (N, new, n)"""

    @staticmethod
    def forward(ctx: Any, products: Tensor, old: int, new: int) -> Tensor:
        ctx.shape, ctx.blocks = products.shape, list(_blocks(old, new, products, new if new <= _SHORT else _BLOCK))
        count = len(products)
        if len(ctx.blocks) == 1:
            _, _, first, last, taps = ctx.blocks[0]
            return taps.expand(count, -1, -1) @ products[:, first:last]
        result = products.new_empty(count, new, products.shape[2])
        for start, end, first, last, taps in ctx.blocks:
            result[:, start:end] = taps.expand(count, -1, -1) @ products[:, first:last]
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        count = len(gradient)
        _, _, first, last, taps = ctx.blocks[0]
        if len(ctx.blocks) == 1 and last - first == ctx.shape[1]:
            return taps.T.expand(count, -1, -1) @ gradient, None, None
        result = gradient.new_zeros(ctx.shape)
        for start, end, first, last, taps in ctx.blocks:
            result[:, first:last] += taps.T.expand(count, -1, -1) @ gradient[:, start:end]
        return result, None, None


def _add_one(total: Tensor, weight: Tensor, x: Tensor) -> None:
    """Add the convolution of one map (C, h, w), as if it had been resized, to (H, W, C_out).

    A block of columns goes through both steps while it is in the processor's cache.
    """
    (channels, height, width), outs = x.shape, weight.shape[0]
    kernel = weight.permute(1, 3, 2, 0).reshape(channels, -1)  # (C, column of the kernel, row, C_out)
    products = (x.permute(1, 2, 0).reshape(-1, channels) @ kernel).view(height, width * 3, 3 * outs)
    down = list(_blocks(height, len(total), x, _ROWS))
    for left, right, first, last, taps in _blocks(width, total.shape[1], x):
        columns = (taps @ products[:, first:last]).view(height, right - left, 3, outs)
        columns = columns.transpose(1, 2).reshape(height * 3, -1)
        for start, end, upper, lower, shares in down:
            total[start:end, left:right].view(end - start, -1).addmm_(shares, columns[upper:lower])


def _blocks(old: int, new: int, like: Tensor, size: int = _BLOCK) -> Iterator[tuple[int, int, int, int, Tensor]]:
    """Yield blocks of new pixels along one side: start and end, first and last of what they need, and its weights.

    What they need are pairs of an old pixel and a tap of the kernel, in this order; the weights, (end - start,
    last - first), are what each pair adds to each new pixel. Beyond the border, where the convolution pads, it is 0.
    """
    weights = F.pad(resize(torch.eye(old, dtype=like.dtype, device=like.device)[None, None], (old, new))[0, 0], (1, 1))
    taps = torch.stack([weights[:, tap : tap + new] for tap in range(3)], dim=1)  # (old, tap, new)
    for start in range(0, new, size):
        end = min(start + size, new)
        needed = taps[:, :, start:end].ne(0).any(dim=2).any(dim=1).nonzero()
        first, last = int(needed.min()), int(needed.max()) + 1
        yield start, end, 3 * first, 3 * last, taps[first:last, :, start:end].reshape(3 * (last - first), -1).T
