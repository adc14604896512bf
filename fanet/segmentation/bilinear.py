"""Bilinear resizing: of feature maps as in PyTorch, and of 8-bit images bit for bit as OpenCV's `INTER_LINEAR`.

MMSegmentation resizes with OpenCV, in training and in testing. OpenCV uses fixed-point weights and drops low bits, so
its results differ from exact arithmetic by up to one grey level. That is enough to change the label of a pixel whose
two best classes have similar scores. The integer arithmetic here is OpenCV's (modules/imgproc/src/resize.cpp,
`HResizeLinear` and `VResizeLinear` for 8-bit values), so the result is the same on every device.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.fx import Proxy
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

# Each of the two passes multiplies by 11-bit weights, and 4 + 16 + 2 bits are dropped again: rows then fit into
# 15 bits, and their products with the weights into 32.
WEIGHT_BITS = 11
CUT_FROM_ROWS, CUT_FROM_PRODUCTS, CUT_FROM_SUM = 4, 16, 2
# The longest side that `resize_by_products` multiplies: the products grow by its square.
LONG_SIDE = 64
# Values of an image that is resized at once; a larger one goes in bands of rows, as intermediate values take 4 bytes.
LARGEST_WHOLE = 1 << 26

Taps = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, H, W), bilinear with align_corners False"""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def is_watched(x: torch.Tensor | Proxy) -> bool:
    """Return whether operations on `x` are compiled, recorded by `torch.jit` or `torch.fx`, or counted."""
    is_traced = isinstance(x, Proxy) or torch.compiler.is_compiling() or torch.jit.is_tracing()
    return is_traced or is_in_torch_dispatch_mode()


def resize_by_products(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize as `resize` does, up to rounding, in less time for the gradient: (B, C, h, w) -> (B, C, H, W)

    On a CPU sides of up to `LONG_SIDE` are multiplied by matrices of weights, in the type of `x` even under autocast.
    """
    if is_watched(x) or x.device.type != "cpu" or max(x.shape[-2:]) > LONG_SIDE:
        return resize(x, size)
    rows, columns = (
        resize(torch.eye(old, dtype=x.dtype, device=x.device)[None, None], (new, old))[0, 0]
        for old, new in zip(x.shape[-2:], size, strict=True)
    )
    with torch.autocast(x.device.type, enabled=False):
        return rows @ x @ columns.T


def resize_uint8(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(..., H, W) uint8 -> (..., h, w) uint8, without anti-aliasing

    Args:
        x: Image, values 0..255.
        size: Target height and width.
    """
    height, width = x.shape[-2:]
    columns, rows = _taps(width, size[1], x.device), _taps(height, size[0], x.device)
    if x.numel() <= LARGEST_WHOLE:
        return _resized(x, columns, rows)
    result = x.new_empty(*x.shape[:-2], *size)
    step = max(1, size[0] * LARGEST_WHOLE // (4 * x.numel()))
    for top in range(0, size[0], step):
        upper, lower, *weights = (tap[top : top + step] for tap in rows)
        first, last = int(upper[0]), int(lower[-1])
        band = _resized(x[..., first : last + 1, :], columns, (upper - first, lower - first, weights[0], weights[1]))
        result[..., top : top + step, :] = band
    return result


def _resized(x: torch.Tensor, columns: Taps, rows: Taps) -> torch.Tensor:
    left, right, left_weight, right_weight = columns
    x = x.contiguous()
    across = _weighted(x.index_select(-1, left), left_weight)
    across += _weighted(x.index_select(-1, right), right_weight)
    across = (across >> CUT_FROM_ROWS).to(torch.int16)

    upper, lower, upper_weight, lower_weight = rows
    total = _weighted(across.index_select(-2, upper), upper_weight[:, None]) >> CUT_FROM_PRODUCTS
    total += _weighted(across.index_select(-2, lower), lower_weight[:, None]) >> CUT_FROM_PRODUCTS
    half = 1 << (CUT_FROM_SUM - 1)
    return ((total + half) >> CUT_FROM_SUM).to(torch.uint8)


def _weighted(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return values.to(torch.int32).mul_(weights)


def _taps(old: int, new: int, device: torch.device) -> Taps:
    """Return, for each of `new` output pixels, the two of `old` input pixels around it and their weights (sum: 2^11).

    Outside the outermost centres both are the outermost pixel. Computed on the CPU: Apple's GPUs lack float64.
    """
    place = torch.arange(new, dtype=torch.float64, device="cpu")
    centre = ((place + 0.5) * (old / new) - 0.5).float()
    first = centre.floor()
    share = centre - first
    weights = (torch.stack([1 - share, share]) * (1 << WEIGHT_BITS)).round().to(torch.int32).to(device)
    pixels = torch.stack([first, first + 1]).clamp(0, old - 1).long().to(device)
    return pixels[0], pixels[1], weights[0], weights[1]
