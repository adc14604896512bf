"""Masks in which each class has a colour."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.media.label_maps import read_colours
from fanet.segmentation.data.dataset import UnknownLabelError
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.masks import is_turned, lookup, refuse_ambiguous_transparency
from fanet.segmentation.data.pairing import find_masks


class ColourLabels(LabelReader, kind="colour"):
    """A mask for each image, in the colours of the palette, and in `ignore_colour` for pixels that do not count.

    Colours are those stored, whatever the transparency of a pixel.
    """

    options = ("ignore_colour",)

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        found = find_masks(root, place, images)
        self.files, self.notes = found.files, found.notes
        colours, indices = list(classes.palette), list(range(len(classes)))
        if "ignore_colour" in options:
            colours, indices = [*colours, options["ignore_colour"]], [*indices, classes.ignore_index]
        self._codes, self._indices = _packed(np.array(colours, np.uint8)), np.array(indices, np.uint8)

    def labels(self, file: str, image: str) -> np.ndarray:
        colours, transparent = read_colours(file)
        codes = _packed(colours)
        labels, unknown = lookup(codes, self._codes, self._indices)
        if unknown.size:
            known = ", ".join(f"#{code:06x}" for code in self._codes)
            is_hidden = transparent is not None and bool(transparent[np.isin(codes, unknown)].all())
            cure = _cure(int(unknown[0]), is_hidden)
            raise UnknownLabelError(file, [f"#{code:06x}" for code in unknown], known, cure=cure)
        refuse_ambiguous_transparency(labels, transparent, self.classes, file)
        return labels

    def turned(self, file: str) -> bool:
        return is_turned(file)


def _cure(colour: int, is_hidden: bool) -> str:
    channels = [colour >> shift & 255 for shift in (16, 8, 0)]
    cure = f"put it into the palette, or write ignore_colour: {channels} in dataset.yaml if it does not count"
    return f"only transparent pixels have it: fill them with the colour of their class, {cure}" if is_hidden else cure


def _packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) int32, red in the highest byte"""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
