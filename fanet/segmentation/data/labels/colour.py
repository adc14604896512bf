"""Masks in which each class has a colour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.media.images import read_image
from fanet.segmentation.data.dataset import UnknownLabelError
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.pairing import find_masks


class ColourLabels(LabelReader, kind="colour"):
    """A mask for each image, in the colours of the palette, and in `ignore_colour` for pixels that do not count."""

    options = ("ignore_colour",)

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        self.files = find_masks(root, place, images)
        self.ignore_colour = options.get("ignore_colour")

    def labels(self, file: str, image: str) -> np.ndarray:
        return _labels_of_colours(read_image(file), self.classes, self.ignore_colour, file)


def _labels_of_colours(
    mask: np.ndarray, classes: ClassScheme, ignore_colour: Sequence[int] | None, file: str
) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint8"""
    colours: list[Sequence[int]] = list(classes.palette)
    indices = list(range(len(classes)))
    if ignore_colour is not None:
        colours, indices = [*colours, ignore_colour], [*indices, classes.ignore_index]
    codes = _packed(np.array(colours, dtype=np.uint8))
    order = np.argsort(codes)
    pixels = _packed(mask)
    positions = np.searchsorted(codes[order], pixels).clip(max=len(codes) - 1)
    unknown = pixels[codes[order][positions] != pixels]
    if unknown.size:
        values = [f"#{code:06x}" for code in np.unique(unknown)]
        raise UnknownLabelError(file, values, ", ".join(f"#{code:06x}" for code in codes))
    return np.array(indices, dtype=np.uint8)[order][positions]


def _packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) int32, red in the highest byte"""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
