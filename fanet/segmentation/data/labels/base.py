"""The base class of label readers: where the labels of a folder's images are, in one of the forms people keep them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fanet.classes import ClassScheme

#: The kinds of labels, by the name that `mask_kind` in `dataset.yaml` takes; a subclass registers with `kind="NAME"`.
LABEL_READERS: dict[str, type["LabelReader"]] = {}


class LabelReader(ABC):
    """Reads the labels of one split's images.

    Attributes:
        place: Key of a split that says where the labels are: `masks` or `annotations`.
        options: Further keys of `dataset.yaml` that this kind of labels takes.
        beside: Suffixes of label files, which may be in the folder of the images.
        files: The file of an image's labels, or whatever else `labels` takes, by the name of the image. Names that are
            no image are labels without an image.
        notes: A line for each thing in the labels that was left out or changed, with its count.
    """

    place: ClassVar[str] = "masks"
    options: ClassVar[tuple[str, ...]] = ()
    beside: ClassVar[tuple[str, ...]] = ()
    files: Mapping[str, str]
    notes: Sequence[str] = ()

    def __init_subclass__(cls, kind: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LABEL_READERS[kind] = cls

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        """
        Args:
            root: The folder that holds `dataset.yaml`.
            place: Where the labels are, relative to `root`: a folder, a pattern or a file.
            images: The path of every image of the split, by its name.
            classes: What the labels mean.
            options: The values of the keys in `options` that `dataset.yaml` has.

        Raises:
            UserError: The labels cannot be read.
        """
        self.root, self.classes = root, classes

    def turned(self, file: str) -> bool:
        """Return whether the labels were rotated as the EXIF orientation of their own file says.

        Args:
            file: What `files` has for an image.

        Raises:
            UserError: The file cannot be read.
        """
        return False

    def cure(self, values: Sequence[int]) -> str | None:
        """Return the line of `dataset.yaml` that would give a meaning to the numbers in masks; None if there is none.

        Args:
            values: All numbers that occur in the masks.
        """
        return None

    @abstractmethod
    def labels(self, file: str, image: str) -> np.ndarray:
        """Read the labels of one image, (H, W) uint8: class indices, or `classes.ignore_index`.

        Args:
            file: What `files` has for it.
            image: Path of the image.

        Raises:
            UserError: The labels cannot be read.
            UnknownLabelError: A value is neither a class nor the ignored label.
        """
