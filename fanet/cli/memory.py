"""How the process keeps its memory."""

import ctypes
import os
import sys

# Parameters of mallopt(3), and the largest value that it takes.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Has glibc keep the memory of freed tensors for the next ones.

    By default it gives that of large tensors back to the kernel after every layer of a network, and each 4 KiB costs a
    page fault when they are taken again: on CPUs a third of a forward pass, and up to half of it. The price is that the
    process holds on to what it once used. Only the command line does this; a library must not decide it for a program.

    Returns:
        Whether it was done: not where another C library allocates, nor where the environment already tells glibc how
        (`MALLOC_…_`, `GLIBC_TUNABLES`; see mallopt(3)).
    """
    told = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if told or mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))
