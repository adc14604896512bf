"""Bilinear resizing: of maps as PyTorch does it, and of 8-bit images equal to OpenCV's `INTER_LINEAR` in every bit.

MMSegmentation resizes with OpenCV, in training as in testing. OpenCV works with fixed-point weights and drops bits on
the way, so it is up to one grey value away from exact arithmetic. That is enough to turn pixels whose best two classes
are close. The arithmetic here is OpenCV's (modules/imgproc/src/resize.cpp, `HResizeLinear` and `VResizeLinear` for
8-bit values), on whole numbers, and so the same on every device.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

# Two passes multiply by weights of 11 bits each, and 4 + 16 + 2 bits are cut off again: rows then fit into 15 bits,
# their products with weights into 32.
WEIGHT_BITS = 11
CUT_FROM_ROWS, CUT_FROM_PRODUCTS, CUT_FROM_SUM = 4, 16, 2


def resize(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, C, h, w) -> (B, C, H, W), bilinear with align_corners False"""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def resize_uint8(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(..., H, W) uint8 -> (..., h, w) uint8, without anti-aliasing

    Args:
        x: picture, values 0..255.
        size: h and w.
    """
    height, width = x.shape[-2:]
    left, right, left_weight, right_weight = _taps(width, size[1], x.device)
    x = x.contiguous()
    rows = _weighted(x.index_select(-1, left), left_weight)
    rows += _weighted(x.index_select(-1, right), right_weight)
    rows = (rows >> CUT_FROM_ROWS).to(torch.int16)

    upper, lower, upper_weight, lower_weight = _taps(height, size[0], x.device)
    total = _weighted(rows.index_select(-2, upper), upper_weight[:, None]) >> CUT_FROM_PRODUCTS
    total += _weighted(rows.index_select(-2, lower), lower_weight[:, None]) >> CUT_FROM_PRODUCTS
    half = 1 << (CUT_FROM_SUM - 1)
    return ((total + half) >> CUT_FROM_SUM).to(torch.uint8)


def _weighted(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return values.to(torch.int32).mul_(weights)


def _taps(old: int, new: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each of `new` places the two of `old` pixels between which it lies, and their weights, which add up to 2^11.

    Outside of the outermost centres both are the outermost pixel. Worked out on the CPU: Apple's GPUs lack float64.
    """
    place = torch.arange(new, dtype=torch.float64, device="cpu")
    centre = ((place + 0.5) * (old / new) - 0.5).float()
    first = centre.floor()
    share = centre - first
    weights = (torch.stack([1 - share, share]) * (1 << WEIGHT_BITS)).round().to(torch.int32).to(device)
    pixels = torch.stack([first, first + 1]).clamp(0, old - 1).long().to(device)
    return pixels[0], pixels[1], weights[0], weights[1]
