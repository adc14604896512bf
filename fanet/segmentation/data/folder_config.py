"""`dataset.yaml`, which describes a data set of one's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.documents import read_yaml
from fanet.segmentation.data.folder_classes import read_classes, read_colour
from fanet.segmentation.data.labels import LABEL_READERS
from fanet.segmentation.data.suggest import suggest_config

CONFIG = "dataset.yaml"
_KEYS = ("channels", "classes", "palette", "ignore_index", "mask_kind", "splits")
_DEFAULT_KIND = "index"


@dataclass(frozen=True)
class Places:
    """Where the files of a split are, relative to the folder of `dataset.yaml`.

    Attributes:
        images: A folder or a pattern.
        labels: Where the labels are, as the label reader wants it.
        listed: A text file that names the images; None for all of them.
    """

    images: str
    labels: str
    listed: str | None = None


@dataclass(frozen=True)
class Share:
    """A share of another split's images that is split off at random.

    Attributes:
        source: The other split.
        share: Which part of its images, above 0 and below 1.
        seed: Seed of the choice.
    """

    source: str
    share: float
    seed: int = 0


@dataclass(frozen=True)
class FolderConfig:
    """The contents of a `dataset.yaml`.

    Attributes:
        path: The file.
        classes: What the labels mean once they are read; `ignore_index` is not one of the classes' indices.
        channels: Number of channels of the images, 1 or more.
        kind: A key of `LABEL_READERS`.
        options: The keys of that label reader that the file has.
        splits: Where the files of each split are, in the order of the file, or what share of another split it is.
    """

    path: Path
    classes: ClassScheme
    channels: int
    kind: str
    options: Mapping[str, Any]
    splits: Mapping[str, Places | Share]

    def places(self, split: str) -> Places:
        """Return where the files of a split are, those of its source if it is a share."""
        places = self.splits[split]
        return self.places(places.source) if isinstance(places, Share) else places

    def shares(self, split: str) -> dict[str, Share]:
        """Return the shares that are split off from a split, by name."""
        return {name: part for name, part in self.splits.items() if isinstance(part, Share) and part.source == split}


def read_config(root: str | Path, name: str = CONFIG) -> FolderConfig:
    """Read and check the `dataset.yaml` of a folder.

    Args:
        root: The folder.
        name: What the file is called.

    Raises:
        UserError: The file is missing or invalid.
    """
    path = Path(root) / name
    config = _read_mapping(path)
    kind = config.get("mask_kind", _DEFAULT_KIND)
    if not isinstance(kind, str) or kind not in LABEL_READERS:
        raise UserError(f"{path}: mask_kind is {kind!r}, but must be one of {', '.join(LABEL_READERS)}")
    reader = LABEL_READERS[kind]
    known = sorted({*_KEYS, *(key for each in LABEL_READERS.values() for key in each.options)})
    unknown = [str(key) for key in config if key not in known]
    if unknown:
        raise UserError(f"{path} has the unknown key {unknown[0]!r}: known are {', '.join(known)}")
    foreign = [key for key in config if key not in _KEYS and key not in reader.options]
    if foreign:
        takers = [name for name, each in LABEL_READERS.items() if foreign[0] in each.options]
        raise UserError(f"{path}: {foreign[0]} is for mask_kind: {' or '.join(takers)}, but this one is {kind}")
    channels = config.get("channels", 3)
    if type(channels) is not int or channels < 1:
        raise UserError(f"{path}: channels must be a whole number of at least 1, got {channels!r}")
    classes = read_classes(config, path)
    ignored = config.get("ignore_index", 255)
    if ignored < len(classes) and "ignore_index" not in reader.options:
        raise UserError(
            f"{path}: ignore_index: {ignored} is a number in masks, of which there are none with mask_kind: {kind}: "
            f"remove it{', and write ignore_colour: [R, G, B]' if 'ignore_colour' in reader.options else ''}"
        )
    options = {key: config[key] for key in reader.options if key in config}
    if "ignore_colour" in options:
        options["ignore_colour"] = read_colour(options["ignore_colour"], path)
    return FolderConfig(
        path,
        classes,
        channels,
        kind,
        options,
        _splits(config["splits"], reader.place, path),
    )


def _read_mapping(path: Path) -> dict[str, Any]:
    if not path.exists():
        example = suggest_config(path.parent)
        raise UserError(
            f"there is no file {path}: `fanet init {path.parent}` writes it, or say where images "
            f"and masks are: {example}"
        )
    config = read_yaml(path)
    splits = config.get("splits") if isinstance(config, dict) else None
    if not isinstance(config, dict) or "classes" not in config or not isinstance(splits, dict) or not splits:
        example = suggest_config(path.parent)
        raise UserError(f"{path} must be a mapping with at least `classes` and `splits`, such as {example}")
    return config


def _splits(splits: Mapping[Any, Any], place: str, path: Path) -> dict[str, Places | Share]:
    found: dict[str, Places | Share] = {}
    for split, keys in splits.items():
        if not str(split).strip() or str(split) in found:
            what = "two splits are called" if str(split) in found else "a split must have a name, got"
            raise UserError(f"{path}: {what} {str(split)!r}: give each a name of its own")
        if isinstance(keys, Mapping) and "from" in keys:
            found[str(split)] = _share(str(split), keys, splits, path)
            continue
        needed = {"images", place}
        if not isinstance(keys, Mapping) or not needed <= set(keys) <= {*needed, "list"}:
            raise UserError(
                f"{path}: the split {split} must have the keys {' and '.join(sorted(needed))}, and may have list: "
                f"{split}: {{images: FOLDER, {place}: {'FOLDER' if place == 'masks' else 'FILE'}}}"
            )
        for key, value in keys.items():
            if not isinstance(value, str) or not value:
                raise UserError(f"{path}: {key} of the split {split} must be a path, got {value!r}")
        found[str(split)] = Places(keys["images"], keys[place], keys.get("list"))
    for name in found:
        total = sum(part.share for part in found.values() if isinstance(part, Share) and part.source == name)
        if total >= 1:
            raise UserError(f"{path}: shares of {total:g} are split off from {name}, which leaves it no images")
    return found


def _share(split: str, keys: Mapping[Any, Any], splits: Mapping[Any, Any], path: Path) -> Share:
    where = f"{path}: the split {split}"
    if not {"from", "share"} <= set(keys) <= {"from", "share", "seed"}:
        raise UserError(f"{where} must have the keys from and share, and may have seed: {{from: train, share: 0.2}}")
    source, share, seed = str(keys["from"]), keys["share"], keys.get("seed", 0)
    origin = {str(name): value for name, value in splits.items()}.get(source)
    if not isinstance(origin, Mapping) or "from" in origin:
        raise UserError(f"{where} is a share of {source}, which is not a split with images of its own")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise UserError(f"{where} must have a share above 0 and below 1, such as 0.2, got {share!r}")
    if type(seed) is not int or seed < 0:
        raise UserError(f"{where} must have a whole number from 0 as its seed, got {seed!r}")
    return Share(source, float(share), seed)
