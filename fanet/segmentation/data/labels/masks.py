"""What mask files have in common, whether they hold indices or colours."""

from pathlib import Path

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.media.images import read_orientation


def is_turned(file: str) -> bool:
    """Return whether the EXIF orientation of a mask rotates it.

    Raises:
        UserError: The file cannot be read.
    """
    return Path(file).suffix.lower() != ".npy" and read_orientation(file) > 1


def refuse_ambiguous_transparency(
    labels: np.ndarray, transparent: np.ndarray | None, classes: ClassScheme, file: str
) -> None:
    """Refuse a mask in which transparent and opaque pixels are the same class, unless that is the background.

    Erased pixels keep the colour of what was there, or become white: what they are then is a guess.

    Args:
        labels: (H, W) uint8.
        transparent: Which pixels are fully transparent, (H, W) bool; None without transparency.
        classes: What the labels mean.
        file: How errors name the mask.

    Raises:
        UserError: There are such pixels.
    """
    if transparent is None or not transparent.any() or transparent.all():
        return
    hidden = np.bincount(labels[transparent], minlength=256)
    shown = np.bincount(labels[~transparent], minlength=256)
    for index, name in enumerate(classes.names):
        if index != classes.background and hidden[index] and shown[index]:
            raise UserError(
                f"{file}: {hidden[index]} fully transparent pixels are {name} by their stored colour, as opaque ones "
                "are: save the mask without transparency (alpha), in the colours that count"
            )


def lookup(pixels: np.ndarray, codes: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Replace numbers by class indices.

    Args:
        pixels: Whole numbers, of any shape.
        codes: The numbers that are known, each once.
        indices: The class index of each, uint8.

    Returns:
        The class indices, in the shape of `pixels`, and the numbers in `pixels` that are not known, sorted.
    """
    order = np.argsort(codes)
    positions = np.searchsorted(codes[order], pixels).clip(max=len(codes) - 1)
    unknown = pixels[codes[order][positions] != pixels]
    return indices[order][positions], np.unique(unknown)
