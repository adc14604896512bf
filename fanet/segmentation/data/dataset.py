"""What every data set offers: samples by index, read when they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fanet.classes import ClassScheme
from fanet.errors import UserError

# So many values or names are told in one line; more would hide what the line says.
_SHOWN = 3


class UnknownLabelError(UserError):
    """A mask holds values or colours that are no class; `values` are all of them, as text."""

    def __init__(self, file: str, values: Sequence[str], known: str) -> None:
        self.file, self.values = file, tuple(values)
        noun = "label" if len(values) == 1 else "labels"
        super().__init__(f"{file} holds the unknown {noun} {shortened(values)}: known are {known}")

    def __reduce__(self) -> tuple:
        # Exceptions are pickled with their text alone, which is not what the constructor takes.
        return _restored_unknown_label, (str(self), self.file, self.values)


def _restored_unknown_label(text: str, file: str, values: tuple[str, ...]) -> UnknownLabelError:
    error = UnknownLabelError.__new__(UnknownLabelError)
    error.args, error.file, error.values = (text,), file, values
    return error


#: The kinds of data sets, by the name that recipes and commands use: classes register with `kind="NAME"`.
KINDS: dict[str, type["SegmentationDataset"]] = {}


@dataclass(frozen=True)
class Sample:
    """A picture with its truth: `image` (H, W, 3) uint8 RGB, `labels` (H, W) uint8 class indices, or None where nobody
    knows them.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray | None


class SegmentationDataset(torch.utils.data.Dataset, ABC):
    """One split of a data set.

    Nothing is read before it is asked for, and a data set can be pickled, so it works in the workers of a
    `torch.utils.data.DataLoader` whichever way they are started.

    Attributes:
        classes: what the labels mean.
        names: of the samples, each once; a path with forward slashes where the images lie in folders.
        missing_masks: images that were left out because they have no mask.
        missing_images: masks that were left out because they have no image.
    """

    classes: ClassScheme
    names: Sequence[str]
    missing_masks: Sequence[str] = ()
    missing_images: Sequence[str] = ()
    #: The names of the splits, a static method: takes the constructor's arguments that say where the data set is.
    splits: ClassVar[Callable[..., list[str]]]

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            KINDS[kind] = cls

    @classmethod
    def located(cls, root: str | Path | None) -> type["SegmentationDataset"]:
        """Return the class that reads this kind of data set from `root`, or without one."""
        return cls

    def oddities(self, split: str) -> list[str]:
        """Return a line for everything about the split that its kind finds odd, beside what every kind is checked for.

        Args:
            split: Its name.
        """
        return []

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Reads sample `index`.

        Raises:
            IndexError: there is no such sample.
            UserError: a file cannot be read, image and mask differ in size, or the mask holds an unknown label.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        image, labels = self.load(index)
        if labels.shape != image.shape[:2]:
            raise UserError(
                f"{self.names[index]} has {image.shape[1]}x{image.shape[0]} pixels, but its mask has "
                f"{labels.shape[1]}x{labels.shape[0]}"
            )
        return Sample(self.names[index], image, labels)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and labels (h, w) uint8 of sample `index`, which may differ in size.

        Raises:
            UserError: a file cannot be read, or the mask holds an unknown label.
        """
        return self.load_image(index), self.load_labels(index)

    def turned_image(self, index: int) -> str | None:
        """What errors call the file of image `index`, if its EXIF orientation turns the image, which leaves the labels
        as they are.

        Raises:
            UserError: it cannot be read.
        """
        return None

    @abstractmethod
    def load_image(self, index: int) -> np.ndarray:
        """The image of sample `index`, (H, W, 3) uint8 RGB.

        Raises:
            UserError: it cannot be read.
        """

    @abstractmethod
    def load_labels(self, index: int) -> np.ndarray:
        """The labels of sample `index`, (H, W) uint8.

        Raises:
            UserError: they cannot be read.
            UnknownLabelError: a value is neither a class nor the ignored label.
        """


def check_labels(labels: np.ndarray, classes: ClassScheme, file: str) -> np.ndarray:
    """The labels, if all of them are classes or the ignored label.

    Raises:
        UnknownLabelError: some are not.
    """
    is_unknown = np.ones(256, dtype=bool)
    is_unknown[: len(classes)] = False
    is_unknown[classes.ignore_index] = False
    if is_unknown[labels].any():
        values = [str(value) for value in np.unique(labels) if is_unknown[value]]
        raise UnknownLabelError(file, values, f"0 to {len(classes) - 1}, and {classes.ignore_index} for ignored pixels")
    return labels


def pair_files(
    images: Mapping[str, str], masks: Mapping[str, str]
) -> tuple[list[tuple[str, str, str]], list[str], list[str]]:
    """Brings images and masks of one key together.

    Returns:
        (key, image, mask) in the order of the keys; images without mask; masks without image.
    """
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    return (
        pairs,
        [images[key] for key in sorted(images.keys() - masks.keys())],
        [masks[key] for key in sorted(masks.keys() - images.keys())],
    )


def require_pairs(dataset: SegmentationDataset, where: str, strict: bool) -> None:
    """Refuses a split without samples, and with `strict` one in which images lack their masks.

    Raises:
        UserError: as said.
    """
    missing = dataset.missing_masks
    if strict and missing:
        count = f"{len(missing)} images have" if len(missing) > 1 else "1 image has"
        raise UserError(f"{where}: {count} no mask: {shortened(missing)}")
    if not len(dataset) and not missing:
        raise UserError(f"{where} holds no images: is the data set unpacked completely?")


def require_split(split: str, splits: Sequence[str], where: str) -> None:
    """Refuses a split that is not there.

    Raises:
        UserError: as said.
    """
    if split not in splits:
        raise UserError(
            f"{where} no split {split!r}: there are {', '.join(splits)} (chosen by --split, in training by "
            "data.train_split and data.val_split)"
        )


def shortened(items: Sequence[str]) -> str:
    """The first items, and how many more there are."""
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
