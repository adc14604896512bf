"""Whether modules may be run in another way than one after the other, once each, with the same result.

Not where somebody watches them or has replaced them: hooks, counters of operations, tracers, compilers, `torch.func`.
"""

from typing import Any

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def is_watched(x: Any, *modules: nn.Module) -> bool:
    """Return whether somebody would notice if `modules` were not called once each on `x`, in eager mode."""
    if not isinstance(x, torch.Tensor) or is_functorch_wrapped_tensor(x) or is_in_torch_dispatch_mode():
        return True
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def may_recompute(x: Any, *modules: nn.Module) -> bool:
    """Return whether what `modules` compute of `x` may be computed again for the gradient instead of being kept."""
    return not is_watched(x, *modules) and torch.is_grad_enabled() and x.requires_grad
