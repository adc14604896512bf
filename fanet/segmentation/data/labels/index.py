"""Masks whose values are class indices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.media.images import read_labels
from fanet.segmentation.data.dataset import check_labels
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.pairing import find_masks


class IndexLabels(LabelReader, kind="index"):
    """A mask for each image: 8-bit files with one channel or a palette, whose values are class indices."""

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        self.files = find_masks(root, place, images)

    def labels(self, file: str, image: str) -> np.ndarray:
        return check_labels(read_labels(file), self.classes, file)
