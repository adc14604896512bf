"""Data sets of images and labels."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fanet.errors import UserError
from fanet.segmentation.data.clutter import ClutterScenes
from fanet.segmentation.data.dataset import KINDS, Sample, SegmentationDataset, UnknownLabelError, Unlabelled
from fanet.segmentation.data.folder import FolderDataset
from fanet.segmentation.data.images_only import ImageFolder
from fanet.segmentation.data.zerowaste import ZeroWaste

__all__ = [
    "KINDS",
    "ClutterScenes",
    "FolderDataset",
    "ImageFolder",
    "Sample",
    "SegmentationDataset",
    "UnknownLabelError",
    "Unlabelled",
    "ZeroWaste",
    "list_splits",
    "open_dataset",
    "open_unlabelled",
    "takes_option",
]


def open_dataset(kind: str, root: str | Path | None, split: str, **options: Any) -> SegmentationDataset:
    """Open one split of a data set; images are read on access.

    Args:
        kind: `zerowaste`, the published data set as a folder or as its zip archive; `clutter`, generated scenes, from
            a folder that `fanet data clutter` wrote or, without `root`, drawn on the fly; `folder`, a folder with a
            `dataset.yaml`.
        root: Its folder or archive.
        split: `train`, `val` or `test`, or any split that a `dataset.yaml` names.
        options: `verify` (zerowaste: refuse an archive that is not the published one), `strict` (refuse images without
            a mask); `count`, `seed`, `size`, `difficulty` of scenes drawn on the fly.

    Raises:
        UserError: There is no such kind, data set or split, or the kind has no such option.
    """
    cls, arguments = _located(kind, root)
    for option in options:
        if not takes_option(kind, root, option):
            where = "drawn on the fly" if root is None else "from files"
            raise UserError(f"the data set {kind} {where} has no option {option!r}")
    return cls(**arguments | options, split=split)


def open_unlabelled(
    split: str,
    labelled: SegmentationDataset,
    kind: str,
    root: str | Path | None,
    options: Mapping[str, Any],
) -> SegmentationDataset:
    """Open images whose labels are neither needed nor read.

    Args:
        split: A split of the data set, or any folder of images: a path, or one below `root`.
        labelled: The labelled images that go with them, which decide classes and channels.
        kind: Kind of the data set, as for `open_dataset`.
        root: Its folder or archive.
        options: Of the labelled split, for `open_dataset`.

    Raises:
        UserError: There is no such split or folder, or it has no images.
    """
    splits = list_splits(kind, root, **{key: value for key, value in options.items() if key == "verify"})
    if split in splits:
        return open_dataset(kind, root, split, **options)
    path = Path(split).expanduser()
    for folder in (path, *([Path(root) / path] if root is not None else [])):
        if folder.is_dir():
            return ImageFolder(folder, labelled.classes, labelled.channels)
    if path.is_file():
        raise UserError(
            f"data.unlabelled_split: {split} is a file: unpack it (the archives of ZeroWaste-s with `7z x`), and name "
            "the folder"
        )
    raise UserError(
        f"data.unlabelled_split: there is no split {split!r}, only {', '.join(splits)}, and no folder of images {split}"
    )


def list_splits(kind: str, root: str | Path | None, **options: Any) -> list[str]:
    """Return the names of a data set's splits.

    Raises:
        UserError: There is no such kind or data set.
    """
    cls, arguments = _located(kind, root)
    return cls.splits(**arguments | options)


def takes_option(kind: str, root: str | Path | None, option: str) -> bool:
    """Return whether `open_dataset` takes an option for a data set.

    Raises:
        UserError: There is no such kind or data set.
    """
    return option in inspect.signature(_located(kind, root)[0]).parameters and option not in ("root", "split")


def _located(kind: str, root: str | Path | None) -> tuple[Any, dict[str, Any]]:
    """Return the class of a data set, and the arguments that say where its files are."""
    if kind not in KINDS:
        raise UserError(f"unknown kind of data set {kind!r}: choose one of {', '.join(KINDS)}")
    cls = KINDS[kind].located(root)
    if root is not None:
        return cls, {"root": root}
    if "root" in inspect.signature(cls).parameters:
        raise UserError(f"the data set {kind} needs its folder: say where it is (--data, in training data.root)")
    return cls, {}
