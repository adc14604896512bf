"""Keep libraries from writing to standard error: what matters is raised."""

import ctypes
import logging
from contextlib import suppress
from functools import cache

from PIL import Image

# They log what they find odd in a file, which without a handler goes to standard error.
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@cache
def silence_libtiff() -> None:
    """Silence the libtiff that Pillow uses, where it is a library of its own; Pillow silences its warnings alone."""
    with suppress(OSError, AttributeError):  # built in
        set_handler = ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)
