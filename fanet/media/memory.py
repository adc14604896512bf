"""How large an image the machine's memory holds."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

# While a colour image is decoded, Pillow's copy has 4 bytes a pixel and the array 3; later there are labels as well.
_BYTES_PER_PIXEL = 8
_SHARE = 0.75  # of the memory
_UNKNOWN = 8 << 30  # bytes, where the system does not say
_INFO = Path("/proc/meminfo")
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def most_pixels() -> int:
    """Return the number of pixels of the largest image that can be read."""
    return int(_SHARE * _memory() / _BYTES_PER_PIXEL)


def free_memory() -> int:
    """Return the bytes of memory that nobody uses; half of all where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in _INFO.read_text().splitlines():
            if line.startswith("MemAvailable"):
                return min(1024 * int(line.split()[1]), _memory())
    return _memory() // 2


def release_freed_memory() -> None:
    """Return the memory of freed objects to the system, where the C library can do so.

    What a thread has freed is kept for this thread: after it has decoded a large image, as much as the image.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _memory() -> int:
    """Return the bytes of memory that this process may use."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN
    try:
        return min(memory, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        return memory
