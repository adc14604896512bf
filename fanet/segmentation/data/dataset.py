"""The base class of data sets: samples by index, read on access."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fanet.classes import ClassScheme
from fanet.errors import UserError, printable
from fanet.media.png import encode_png

# The number of values or names in an error; more would hide what it says.
_SHOWN = 3
#: How to mend masks of another size than their images.
SCALE_MASKS = "scale masks to the size of their images without smoothing (nearest neighbour)"
_TURN_LABELS = (
    "the image is shown rotated, by its EXIF orientation, and its labels are not: rotate them too, "
    "or save the image without that orientation"
)
_LONGEST = 160  # characters of a name in an error: enough for most paths


class UnknownLabelError(UserError):
    """A mask holds values or colours that are not a class.

    Args:
        file: The mask.
        values: All that are not a class, as text.
        known: What is known, as text.
        seen: All numbers in the mask, known or not, if it holds numbers.
        cure: How to mend it, for this mask alone.

    Attributes:
        hint: What is known, and how to mend it, as the end of a message.
    """

    def __init__(
        self, file: str, values: Sequence[str], known: str, seen: Sequence[int] = (), cure: str | None = None
    ) -> None:
        self.file, self.values, self.seen = file, tuple(values), tuple(seen)
        noun = "label" if len(values) == 1 else "labels"
        self.hint = f"known are {known}" + (f"; {cure}" if cure else "")
        super().__init__(f"{file} holds the unknown {noun} {shortened(values)}: {self.hint}")

    def __reduce__(self) -> tuple:
        # By default an exception is pickled with its text only, which is not what the constructor takes.
        return _restored_unknown_label, (str(self), vars(self))


def _restored_unknown_label(text: str, attributes: dict[str, Any]) -> UnknownLabelError:
    error = UnknownLabelError.__new__(UnknownLabelError)
    error.args = (text,)
    vars(error).update(attributes)
    return error


#: The kinds of data sets, by the name that recipes and commands use; a subclass registers with `kind="NAME"`.
KINDS: dict[str, type["SegmentationDataset"]] = {}


@dataclass(frozen=True)
class Sample:
    """An image (H, W, 3) uint8 RGB, and its labels (H, W) uint8, class indices, or None if they are unknown."""

    name: str
    image: np.ndarray
    labels: np.ndarray | None


class SegmentationDataset(torch.utils.data.Dataset, ABC):
    """One split of a data set.

    Files are read on access, and a data set can be pickled, so it works in the workers of a
    `torch.utils.data.DataLoader` with any start method.

    Attributes:
        classes: What the labels mean.
        cure_of_sizes: What to do about masks that differ in size from their image.
        names: Unique names of the samples; paths with forward slashes if the images are in folders.
        missing_masks: Images that were left out because they have no mask.
        missing_images: Masks that were left out because they have no image.
        notes: A line for each thing of this split that was left out or changed, with its count.
        missing_hint: What may pair the images that have no mask, as the end of a sentence.
        ignores_by_default: Whether 255 is the ignored label only because nobody said otherwise.
    """

    classes: ClassScheme
    channels: int = 3
    cure_of_sizes: str = SCALE_MASKS
    names: Sequence[str]
    missing_masks: Sequence[str] = ()
    missing_images: Sequence[str] = ()
    notes: Sequence[str] = ()
    missing_hint: str = ""
    ignores_by_default: bool = False
    #: Static method that returns the names of the splits, given the constructor's arguments that locate the data set.
    splits: ClassVar[Callable[..., list[str]]]

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            KINDS[kind] = cls

    @classmethod
    def located(cls, root: str | Path | None) -> type["SegmentationDataset"]:
        """Return the class that reads this kind of data set from `root`, or without files if it is None."""
        return cls

    def remarks(self) -> list[str]:
        """Return a line for each thing that was left out or changed, images and masks without a partner included."""
        lines = list(self.notes)
        for names, what in (
            (self.missing_masks, "images without a mask"),
            (self.missing_images, "masks without an image"),
        ):
            if names:
                lines.append(f"{len(names)} {what} left out: {shortened(names)}")
        return lines

    def unlisted(self) -> list[str]:
        """Return a line if no list of a split names some labelled images, which may be on purpose."""
        return []

    def image_paths(self) -> set[str]:
        """Return the files of the images, links resolved, to compare splits; empty if they are no single files."""
        return set()

    def turned_labels(self, index: int) -> str | None:
        """Return the file of the labels of sample `index`, for messages, if its own EXIF orientation rotates them.

        Raises:
            UserError: The file cannot be read.
        """
        return None

    def cure(self, values: Sequence[int]) -> str | None:
        """Return the line of the data set's description that would give numbers in masks a meaning; None without one.

        Args:
            values: All numbers that occur in the masks.
        """
        return None

    def oddities(self, split: str) -> list[str]:
        """Return a line for each oddity that is specific to this kind of data set, for the check's warnings.

        Args:
            split: Name of the split.
        """
        return []

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Sample:
        """Read sample `index`.

        Raises:
            IndexError: There is no such sample.
            UserError: A file cannot be read, image and mask differ in size, or the mask holds an unknown label.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        image, labels = self.load(index)
        if labels.shape != image.shape[:2]:
            called, mask = self.pair(index)
            raise UserError(
                f"{called} has {image.shape[1]}x{image.shape[0]} pixels, but its {mask} has "
                f"{labels.shape[1]}x{labels.shape[0]}: {self.cure_of_size(index, image, labels)}"
            )
        return Sample(self.names[index], image, labels)

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Read image (H, W, 3) uint8 RGB and labels (h, w) uint8 of sample `index`, which may differ in size.

        Raises:
            UserError: A file cannot be read, or the mask holds an unknown label.
        """
        return self.load_image(index), self.load_labels(index)

    def pair(self, index: int) -> tuple[str, str]:
        """Return how errors name image and mask of sample `index`."""
        return self.names[index], "mask"

    def turned_image(self, index: int) -> str | None:
        """Return the file of image `index`, for messages, if its EXIF orientation rotates it, but not the labels.

        Raises:
            UserError: The file cannot be read.
        """
        return None

    def cure_of_size(self, index: int, image: np.ndarray, labels: np.ndarray) -> str:
        """Return what to do about labels (h, w) of sample `index` that differ in size from its image (H, W, 3)."""
        is_turned = labels.shape == image.shape[1::-1] and self.turned_image(index) is not None
        return _TURN_LABELS if is_turned else self.cure_of_sizes

    def image_file(self, index: int) -> tuple[str, bytes]:
        """Return the suffix and the contents of the file of image `index`, unchanged where there is such a file.

        Raises:
            UserError: The file cannot be read.
        """
        return ".png", encode_png(self.load_image(index))

    @abstractmethod
    def load_image(self, index: int) -> np.ndarray:
        """Read the image of sample `index`, (H, W, 3) uint8 RGB.

        Raises:
            UserError: The image cannot be read.
        """

    @abstractmethod
    def load_labels(self, index: int) -> np.ndarray:
        """Read the labels of sample `index`, (H, W) uint8.

        Raises:
            UserError: The labels cannot be read.
            UnknownLabelError: A value is neither a class nor the ignored label.
        """


class Unlabelled(SegmentationDataset):
    """The images of another data set with no labelled pixel: masks are neither needed nor read."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset
        self.classes, self.names, self.channels = dataset.classes, dataset.names, dataset.channels

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.load_image(index)
        return image, np.full(image.shape[:2], self.classes.ignore_index, dtype=np.uint8)

    def load_image(self, index: int) -> np.ndarray:
        return self.dataset.load_image(index)

    def load_labels(self, index: int) -> np.ndarray:
        return self.load(index)[1]


def check_labels(labels: np.ndarray, classes: ClassScheme, file: str) -> np.ndarray:
    """Return the labels as uint8 if all of them are classes or the ignored label.

    Args:
        labels: Whole numbers, of any type.
        classes: What they mean.
        file: How errors name them.

    Raises:
        UnknownLabelError: Some are neither.
    """
    is_unknown = np.ones(256, dtype=bool)
    is_unknown[: len(classes)] = False
    is_unknown[classes.ignore_index] = False
    fits = labels.dtype == np.uint8 or (labels.min() >= 0 and labels.max() <= 255)
    if not fits or is_unknown[labels].any():
        seen = [int(value) for value in np.unique(labels)]
        values = [str(value) for value in seen if not 0 <= value <= 255 or is_unknown[value]]
        known = f"0 to {len(classes) - 1}, and {classes.ignore_index} for ignored pixels"
        raise UnknownLabelError(file, values, known, seen)
    return labels.astype(np.uint8, copy=False)


def require_pairs(dataset: SegmentationDataset, where: str, strict: bool) -> None:
    """Check that a split has samples, and with `strict` that no image lacks its mask.

    Raises:
        UserError: It does not.
    """
    missing = dataset.missing_masks
    if strict and missing:
        count = f"{len(missing)} images have" if len(missing) > 1 else "1 image has"
        hint = f": {dataset.missing_hint}" if dataset.missing_hint else ""
        raise UserError(f"{where}: {count} no mask: {shortened(missing)}{hint}")
    if not len(dataset) and not missing:
        raise UserError(f"{where} has no images: is the data set unpacked completely?")


def require_split(split: str, splits: Sequence[str], where: str) -> None:
    """Check that a split exists.

    Raises:
        UserError: It does not.
    """
    if split not in splits:
        raise UserError(
            f"{where} no split {split!r}, only {', '.join(splits)}: choose one by --split, in training by "
            "data.train_split and data.val_split"
        )


def by_split(lines: Mapping[str, Sequence[str]]) -> list[str]:
    """Return lines about splits, each with the names of all splits that it is about."""
    splits: dict[str, list[str]] = {}
    for split, of_split in lines.items():
        for line in of_split:
            splits.setdefault(line, []).append(split)
    return [f"{' and '.join(names)}: {line}" for line, names in splits.items()]


def shortened(items: Sequence[str], shown: int = _SHOWN, longest: int = _LONGEST) -> str:
    """Return the first items, long ones without their middle, and the number of further ones, as text."""
    more = len(items) - shown
    return ", ".join(_cut(item, longest) for item in items[:shown]) + (f" and {more} more" if more > 0 else "")


def _cut(name: str, longest: int) -> str:
    text, half = printable(name), longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
