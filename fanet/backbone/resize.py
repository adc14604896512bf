"""Bilinear resizing that survives TorchScript after AOTAutograd."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx.experimental.proxy_tensor import get_proxy_mode


def resize_as(x: Tensor, reference: Tensor) -> Tensor:
    """Resize maps bilinearly, corners not aligned: (B, C, h, w), and a reference (…, H, W) -> (B, C, H, W)."""
    if not torch.jit.is_scripting():
        if _traced_by_aot_autograd():
            return _stretch(_stretch(x, reference.shape[-2], 2), reference.shape[-1], 3)
    return F.interpolate(x, size=reference.shape[-2:], mode="bilinear", align_corners=False)


def _traced_by_aot_autograd() -> bool:
    """Whether functorch's AOTAutograd runs this code by itself, as in `validate.py --aot-autograd` of timm.

    It breaks `F.interpolate` down into operations on constants (`arange`), which TorchScript then folds while tensors
    are fake, and fails: `DataDependentOutputException: aten.equal.default`.
    """
    return not torch.compiler.is_compiling() and get_proxy_mode() is not None


def _stretch(x: Tensor, size: int, dim: int) -> Tensor:
    """Resize one side linearly, with positions counted on a tensor that depends on the input."""
    old = x.shape[dim]
    steps = x.new_ones(size, dtype=torch.float32).cumsum(0)
    position = ((steps - 0.5) * (old / size) - 0.5).clamp(0, old - 1)
    below = position.floor()
    above = (below + 1).clamp(max=old - 1)
    weight = (position - below).to(x.dtype).view([-1 if i == dim else 1 for i in range(4)])
    return torch.lerp(x.index_select(dim, below.long()), x.index_select(dim, above.long()), weight)
