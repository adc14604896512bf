"""The floating-point types in which engines compute."""

from pathlib import Path

import torch

from fanet.errors import UserError

PRECISIONS = ("fp32", "bf16")
#: Those of files that `fanet export` writes.
EXPORT_PRECISIONS = ("fp32", "fp16", "int8")
# What Linux calls them: without either, bfloat16 is emulated and several times slower than float32.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def processor_flags() -> frozenset[str]:
    """Return what Linux says the processor can do; nothing on other systems."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_bf16(device: torch.device | str = "cpu") -> bool:
    """Return whether the device computes in bfloat16, so that it is faster than float32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.device(device).type == "cpu" and not _BF16_FLAGS.isdisjoint(processor_flags())


def check_precision(precision: str, device: torch.device | str = "cpu") -> None:
    """Check that there is such a precision, and that the device has it.

    Raises:
        UserError: It is unknown or would be slower than float32.
    """
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
    if precision == "bf16" and not has_bf16(device):
        raise UserError(f"the {torch.device(device).type} has no bf16 arithmetic: choose fp32")


def dtype_of(precision: str) -> torch.dtype:
    """Return PyTorch's type."""
    return torch.bfloat16 if precision == "bf16" else torch.float32
