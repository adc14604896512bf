"""`dataset.yaml`, which describes a data set of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.documents import read_yaml
from fanet.segmentation.data.labels import LABEL_READERS

CONFIG = "dataset.yaml"
_KEYS = ("channels", "classes", "palette", "ignore_index", "mask_kind", "splits")
_DEFAULT_KIND = "index"


@dataclass(frozen=True)
class FolderConfig:
    """The contents of a `dataset.yaml`.

    Attributes:
        path: The file.
        classes: What the labels mean.
        channels: Number of channels of the images, 1 or more.
        kind: A key of `LABEL_READERS`.
        options: The keys of that label reader that the file has.
        splits: For each split, in the order of the file, where its images and labels are.
    """

    path: Path
    classes: ClassScheme
    channels: int
    kind: str
    options: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, str]]


def read_config(root: str | Path) -> FolderConfig:
    """Read and check the `dataset.yaml` of a folder.

    Raises:
        UserError: The file is missing or invalid.
    """
    path = Path(root) / CONFIG
    config = _read_mapping(path)
    kind = config.get("mask_kind", _DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in LABEL_READERS:
        raise UserError(f"{path}: mask_kind is {kind!r}, but must be one of {', '.join(LABEL_READERS)}")
    reader = LABEL_READERS[kind]
    known = sorted({*_KEYS, *(key for each in LABEL_READERS.values() for key in each.options)})
    unknown = [str(key) for key in config if key not in known]
    if unknown:
        raise UserError(f"{path} has the unknown key {unknown[0]!r}: known are {', '.join(known)}")
    channels = config.get("channels", 3)
    if type(channels) is not int or channels < 1:
        raise UserError(f"{path}: channels must be a whole number of at least 1, got {channels!r}")
    return FolderConfig(
        path,
        _classes(config, path),
        channels,
        kind,
        {key: config[key] for key in reader.options if key in config},
        _splits(config["splits"], {"images", reader.place}, path),
    )


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"there is no file {path}: write one that says where images and masks are")
    config = read_yaml(path)
    if not isinstance(config, dict) or "classes" not in config or not isinstance(config.get("splits"), dict):
        raise UserError(f"{path} must be a mapping with at least `classes` and `splits`")
    return config


def _splits(splits: Mapping[Any, Any], needed: set[str], path: Path) -> dict[str, dict[str, str]]:
    for split, paths in splits.items():
        if not isinstance(paths, dict) or set(paths) != needed or not all(isinstance(p, str) for p in paths.values()):
            raise UserError(f"{path}: the split {split} must have the keys {' and '.join(sorted(needed))}")
    return {str(split): paths for split, paths in splits.items()}


def _classes(config: Mapping[str, Any], path: Path) -> ClassScheme:
    names, palette, ignore_index = config["classes"], config.get("palette"), config.get("ignore_index", 255)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: classes must be a list of names")
    if type(ignore_index) is not int or not len(names) <= ignore_index <= 255:
        raise UserError(f"{path}: ignore_index must be a whole number from {len(names)} to 255, got {ignore_index!r}")
    if palette is None:
        if config.get("mask_kind") == "colour":
            raise UserError(f"{path}: masks in colours need a palette, one colour for each class")
        palette = [list(colour) for colour in ClassScheme.numbered(len(names)).palette]
    colours = [*palette, config["ignore_colour"]] if "ignore_colour" in config else palette
    if not isinstance(palette, list) or not all(_is_colour(colour) for colour in colours):
        raise UserError(f"{path}: a colour is three whole numbers from 0 to 255, and a palette is a list of them")
    if config.get("mask_kind") == "colour" and len({tuple(colour) for colour in colours}) < len(colours):
        raise UserError(f"{path}: two classes share a colour, so masks in colours cannot tell them apart")
    try:
        return ClassScheme(tuple(names), tuple((r, g, b) for r, g, b in palette), ignore_index)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)
