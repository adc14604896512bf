"""The size of an image, from its header alone where it has one."""

from pathlib import Path

import numpy as np

from fanet.errors import UserError
from fanet.media.channels import read_channels
from fanet.media.images import read_orientation, reading


def read_size(path: str | Path) -> tuple[int, int]:
    """Return height and width of an image as `read_channels` returns it, with its EXIF orientation applied.

    Raises:
        UserError: The file cannot be read.
    """
    if Path(path).suffix.lower() == ".npy":
        return _array_size(Path(path))
    with reading(path) as image:
        # Pillow versions differ in whether the size of a TIFF is that before or after the rotation.
        stored = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
        width, height = stored.get(256, image.width), stored.get(257, image.height)
    return (width, height) if read_orientation(path) >= 5 else (height, width)


def _array_size(path: Path) -> tuple[int, int]:
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return read_channels(path).shape[:2]  # says what is wrong with it
    if len(shape) not in (2, 3):
        raise UserError(f"{path} holds an array of {len(shape)} axes: an image has two or three")
    return shape[0], shape[1]
