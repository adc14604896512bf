"""Data sets: where images and labels come from."""

import inspect
from pathlib import Path
from typing import Any

from fanet.errors import UserError
from fanet.segmentation.data.clutter import ClutterScenes
from fanet.segmentation.data.dataset import Sample, SegmentationDataset, UnknownLabelError
from fanet.segmentation.data.folder import Folder
from fanet.segmentation.data.zerowaste import ZeroWaste

KINDS = ("zerowaste", "clutter", "folder")

__all__ = [
    "KINDS",
    "ClutterScenes",
    "Folder",
    "Sample",
    "SegmentationDataset",
    "UnknownLabelError",
    "ZeroWaste",
    "list_splits",
    "open_dataset",
]


def open_dataset(kind: str, root: str | Path | None, split: str, **options: Any) -> SegmentationDataset:
    """Opens one split of a data set; pictures are read when they are asked for.

    Args:
        kind: `zerowaste`, the published data set as a folder or as its zip archive; `clutter`, generated scenes, from
            a folder that `fanet data clutter` wrote or, without `root`, drawn on the fly; `folder`, a folder with a
            `dataset.yaml`.
        root: where it lies.
        split: its part: train, val or test, and whatever a `dataset.yaml` names.
        options: `verify` (zerowaste: refuse another archive than the published one), `strict` (refuse images without a
            mask); `count`, `seed`, `size`, `difficulty` of scenes drawn on the fly.

    Raises:
        UserError: there is no such kind, data set or split, or the kind has no such option.
    """
    cls, arguments = _resolve(kind, root)
    known = inspect.signature(cls).parameters
    for option in options:
        if option not in known or option in ("root", "split"):
            where = "drawn on the fly" if cls is ClutterScenes else "from files"
            raise UserError(f"the data set {kind} {where} has no option {option!r}")
    return cls(**arguments | options, split=split)


def list_splits(kind: str, root: str | Path | None, **options: Any) -> list[str]:
    """The names of the splits that a data set has.

    Raises:
        UserError: there is no such kind or data set.
    """
    cls, arguments = _resolve(kind, root)
    return cls.splits(**arguments | options)


def _resolve(kind: str, root: str | Path | None) -> tuple[Any, dict[str, Any]]:
    """The class of a data set, and the arguments that say where its files are."""
    if kind not in KINDS:
        raise UserError(f"there is no kind of data set {kind!r}: there are {', '.join(KINDS)}")
    if root is None:
        if kind != "clutter":
            raise UserError(f"the data set {kind} needs its folder: say where it lies (--data, in training data.root)")
        return ClutterScenes, {}
    if kind == "folder":
        return Folder, {"root": root}
    # Scenes come in ZeroWaste-f's layout, but no archive of them was published that could be verified.
    return ZeroWaste, {"root": root} if kind == "zerowaste" else {"root": root, "verify": False}
