"""How glibc's allocator treats freed memory."""

import ctypes
import os
import sys

# Parameters of mallopt(3), and the largest value that it takes.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc keep the memory of freed tensors for the next ones.

    By default, the memory of large tensors goes back to the kernel after every layer of a network, and every 4 KiB page
    costs a page fault when it is allocated again: on CPUs a third to a half of a forward pass. The price is that the
    process never returns memory. Only the command line does this; a library must not decide it for a program.

    Returns:
        Whether it was done: not with another C library, nor if the environment configures glibc's allocator
        (`MALLOC_…_`, `GLIBC_TUNABLES`; see mallopt(3)).
    """
    configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if configured or mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
