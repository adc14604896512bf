"""The size of an image, from its header alone where it has one."""

from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError
from fanet.media.images import read_orientation, reading


def read_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image as `read_channels` returns it, with its EXIF orientation applied.

    Raises:
        UserError: The file cannot be read.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npy":
        return _array_size(Path(path))
    try:
        with reading(path) as image:
            # Pillow's versions differ in whether the size of a TIFF is that before or after the rotation.
            stored: dict[int, Any] = getattr(image, "tag_v2", {})
            width, height = stored.get(256, image.width), stored.get(257, image.height)
    except UserError:
        if suffix not in (".tif", ".tiff"):
            raise
        return _bands_size(Path(path))
    return (width, height) if read_orientation(path) >= 5 else (height, width)


def _array_size(path: Path) -> tuple[int, int]:
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is truncated or not an array that NumPy saved ({error})") from error
    if len(shape) not in (2, 3):
        raise UserError(f"{path} holds an array of {len(shape)} axes: an image has two or three")
    return shape[0], shape[1]


def _bands_size(path: Path) -> tuple[int, int]:
    """Read the size of a TIFF with bands that Pillow has no mode for."""
    try:
        import tifffile

        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            return int(page.imagelength), int(page.imagewidth)
    except Exception as error:  # whatever a decoder raises at damaged files, or that it is not installed
        raise UserError(f"{path} is truncated or damaged ({error})") from error
