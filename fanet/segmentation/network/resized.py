"""A 3x3 convolution of maps that were resized to one size, without resizing them.

Resizing is linear and acts on each channel by itself, so it can be exchanged with the sums over channels: first nine
1x1 convolutions, one for each tap of the kernel, at the small size of a map; then the nine results are resized, shifted
by their tap and summed, along the width and then along the height. Of UperNet's last convolution, over four maps of
which three are resized, this leaves less than half of the multiplications.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from fanet.segmentation.bilinear import resize

# Output rows or columns computed at a time: the matrices of weights are banded, and a block meets few inputs.
_BLOCK = 128


# Below this width the resized maps are small enough that resizing them costs less than the steps saved here.
_SMALLEST_WIDTH = 128


def pays(conv: nn.Module, x: Tensor) -> bool:
    """Whether to avoid resizing in front of a convolution of maps like `x`, (B, C, H, W).

    Measured in float32 on CPUs. In training it would keep more maps for the gradient. Where the convolution itself is
    watched or replaced (hooks, counters of operations, `torch.func`, tracers, compilers, adapters), it is called.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or x.shape[1] < _SMALLEST_WIDTH or torch.is_grad_enabled():
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    if is_functorch_wrapped_tensor(x) or is_in_torch_dispatch_mode():
        return False
    return type(conv) is nn.Conv2d and not conv._forward_hooks and not conv._forward_pre_hooks


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
    total = F.conv2d(first, weights[0], padding=1).permute(0, 2, 3, 1).contiguous()
    for x, part in zip(maps[1:], weights[1:], strict=True):
        for image, sum_ in zip(x, total, strict=True):
            _add_one(sum_, part, image)
    return total.permute(0, 3, 1, 2)


def _add_one(total: Tensor, weight: Tensor, x: Tensor) -> None:
    """Add the convolution of one map (C, h, w), as if it had been resized, to (H, W, C_out)."""
    (height, width), outs = x.shape[1:], weight.shape[0]
    pixels = x.permute(2, 1, 0).reshape(width * height, -1)
    kernels = weight.permute(3, 1, 2, 0).reshape(3, -1, 3 * outs)  # by column, and for each column three rows
    products = [(pixels @ kernel).view(width, -1) for kernel in kernels]
    rows = x.new_zeros(total.shape[1], height * 3 * outs)
    _stretch(rows, products)
    rows = rows.view(-1, height, 3, outs).permute(2, 1, 0, 3).reshape(3, height, -1)
    _stretch(total.view(len(total), -1), list(rows))


def _stretch(total: Tensor, parts: Sequence[Tensor]) -> None:
    """Resize the part of each tap, (old, N), shift it by the tap, and add it to (new, N)."""
    taps = _taps(len(parts[0]), len(total))
    for start, end, first, last in _blocks(taps):
        for tap, part in zip(taps, parts, strict=True):
            total[start:end].addmm_(tap[first:last, start:end].T, part[first:last])


def _taps(old: int, new: int) -> Tensor:
    """Return what each old pixel adds to each new one under each tap of the kernel: (3, old, new).

    Beyond the border, where the convolution pads, it is 0.
    """
    weights = F.pad(resize(torch.eye(old)[None, None], (old, new))[0, 0], (1, 1))
    return torch.stack([weights[:, tap : tap + new] for tap in range(3)])


def _blocks(taps: Tensor) -> list[tuple[int, int, int, int]]:
    """Return for each block of new pixels where it starts and ends, and the range of old pixels that it needs."""
    needed = taps.ne(0).any(dim=0)
    blocks = []
    for start in range(0, taps.shape[2], _BLOCK):
        end = min(start + _BLOCK, taps.shape[2])
        rows = needed[:, start:end].any(dim=1).nonzero()
        blocks.append((start, end, int(rows.min()), int(rows.max()) + 1))
    return blocks
