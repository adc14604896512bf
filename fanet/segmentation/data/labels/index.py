"""Masks whose values are class indices, or are mapped to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.media.label_maps import read_values
from fanet.segmentation.data.dataset import UnknownLabelError, check_labels
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.masks import is_turned, refuse_ambiguous_transparency
from fanet.segmentation.data.labels.values import suggestion, value_map
from fanet.segmentation.data.pairing import find_masks


class IndexLabels(LabelReader, kind="index"):
    """A mask for each image, which holds whole numbers in one channel, a palette or three equal channels.

    They are class indices, unless `values` says which class each number is. Where `ignore_index` is below the number of
    classes, the classes are the other numbers in order.
    """

    options = ("ignore_index", "values")

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        self.values = value_map(options, classes, str(root / "dataset.yaml"))
        found = find_masks(root, place, images)
        self.files, self.notes = found.files, found.notes

    def labels(self, file: str, image: str) -> np.ndarray:
        values, transparent = read_values(file)
        try:
            labels = self.values.labels(values, file) if self.values else check_labels(values, self.classes, file)
        except UnknownLabelError as error:
            error.args = (f"{error}; {self.cure(error.seen)}",)
            raise
        refuse_ambiguous_transparency(labels, transparent, self.classes, file)
        return labels

    def turned(self, file: str) -> bool:
        return is_turned(file)

    def cure(self, values: Sequence[int]) -> str:
        line = None if self.values else suggestion(values, self.classes)
        if line is None:
            return "say by `values` in dataset.yaml which class each number is, or that it is ignored"
        return f"if that is what they mean, write {line} in dataset.yaml"
