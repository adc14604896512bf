"""Your own data: a folder with images, masks, and a file `dataset.yaml` that describes them."""

import glob
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.media.channels import read_channels
from fanet.media.images import IMAGE_SUFFIXES, read_image, read_labels, read_orientation
from fanet.segmentation.data.coco import CocoMasks
from fanet.segmentation.data.dataset import (
    SegmentationDataset,
    UnknownLabelError,
    check_labels,
    pair_files,
    require_pairs,
    require_split,
)

CONFIG = "dataset.yaml"
MASK_KINDS = ("index", "colour", "coco")
_KEYS = ("channels", "classes", "palette", "ignore_index", "ignore_colour", "mask_kind", "splits")
_NAME = "{name}"


class FolderDataset(SegmentationDataset, kind="folder"):
    """One split of a data set that a `dataset.yaml` describes.

        classes: [background, bottle, can]
        palette: [[0, 0, 0], [230, 5, 5], [4, 200, 3]]    # RGB; optional, except for masks in colours
        ignore_index: 255                                 # optional
        mask_kind: index                                  # or colour, or coco; index by default
        splits:
          train: {images: images/train, masks: masks/train}
          val: {images: images/val, masks: masks/val}         # scored during training
          test: {images: "scans/**/*.tif", masks: "truth/{name}.png"}

    `images` is a folder or a glob pattern. A sample is named after the path of its image below that folder (or below
    the fixed part of the pattern), without suffix. `masks` is a folder with files of these names, with any suffix, or a
    pattern in which `{name}` stands for the name. With `mask_kind: coco` a split has `annotations` instead, a JSON
    file. Masks in colours may have one more colour, `ignore_colour`, for pixels that do not count.
    """

    def __init__(self, root: str | Path, split: str, strict: bool = True) -> None:
        """
        Args:
            root: The folder with `dataset.yaml`.
            split: One of the splits in that file.
            strict: Refuse images without a mask instead of leaving them out.

        Raises:
            UserError: The file is missing or invalid, there is no such split, or a mask is missing.
        """
        self.root = Path(root)
        config = _read_config(self.root / CONFIG)
        self.classes, self.kind = _classes(config, self.root / CONFIG), config.get("mask_kind", MASK_KINDS[0])
        self.ignore_colour = config.get("ignore_colour")
        self.channels = config.get("channels", 3)
        require_split(split, list(config["splits"]), f"{self.root / CONFIG} has")
        paths = config["splits"][split]
        images = _images(self.root, paths["images"])
        self.coco = None
        if self.kind == "coco":
            self.coco = CocoMasks(self.root / paths["annotations"], self.classes)
            masks = {str(Path(name).with_suffix("").as_posix()): name for name in self.coco.names}
        else:
            masks = _masks(self.root, paths["masks"], images)
        self._pairs, self.missing_masks, self.missing_images = pair_files(images, masks)
        self.names = [name for name, _, _ in self._pairs]
        require_pairs(self, f"the split {split} of {self.root}", strict)

    @staticmethod
    def splits(root: str | Path) -> list[str]:
        """Return the splits that `dataset.yaml` names, in its order.

        Raises:
            UserError: The file is missing or invalid.
        """
        return list(_read_config(Path(root) / CONFIG)["splits"])

    def load_image(self, index: int) -> np.ndarray:
        return read_channels(self._pairs[index][1], self.channels)

    def turned_image(self, index: int) -> str | None:
        file = self._pairs[index][1]
        return file if read_orientation(file) > 1 else None

    def load_labels(self, index: int) -> np.ndarray:
        file = self._pairs[index][2]
        if self.coco is not None:
            return self.coco.labels(file)
        if self.kind == "colour":
            return _labels_of_colours(read_image(file), self.classes, self.ignore_colour, file)
        return check_labels(read_labels(file), self.classes, file)


def _read_config(path: Path) -> dict[str, Any]:
    """Read `dataset.yaml` and check its keys, but not the classes and paths."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}: write one that says where images and masks are") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or "classes" not in config or not isinstance(config.get("splits"), dict):
        raise UserError(f"{path} must be a mapping with at least `classes` and `splits`")
    unknown = [str(key) for key in config if key not in _KEYS]
    if unknown:
        raise UserError(f"{path} has the unknown key {unknown[0]!r}: known are {', '.join(_KEYS)}")
    kind = config.get("mask_kind", MASK_KINDS[0])
    if kind not in MASK_KINDS:
        raise UserError(f"{path}: mask_kind is {kind!r}, but must be one of {', '.join(MASK_KINDS)}")
    config["splits"] = {str(split): paths for split, paths in config["splits"].items()}
    if type(config.get("channels", 3)) is not int or config.get("channels", 3) < 1:
        raise UserError(f"{path}: channels must be a whole number of at least 1, got {config['channels']!r}")
    needed = {"images", "annotations" if kind == "coco" else "masks"}
    for split, paths in config["splits"].items():
        if not isinstance(paths, dict) or set(paths) != needed or not all(isinstance(p, str) for p in paths.values()):
            raise UserError(f"{path}: the split {split} must have the keys {' and '.join(sorted(needed))}")
    return config


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


def _images(root: Path, pattern: str) -> dict[str, str]:
    """Return the path of every image, by its name."""
    base, paths = _matches(root, pattern)
    return _named(base, [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES])


def _masks(root: Path, pattern: str, images: Mapping[str, str]) -> dict[str, str]:
    """Return the path of every mask, by the name of its image."""
    if _NAME not in pattern:
        base, paths = _matches(root, pattern)
        return _named(base, [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES])
    candidates = {name: root / pattern.replace(_NAME, name) for name in images}
    return {name: str(path) for name, path in candidates.items() if path.is_file()}


def _matches(root: Path, pattern: str) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the visible files in it that match."""
    parts = Path(pattern).parts
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    base = root.joinpath(*fixed)
    if not base.is_dir():
        raise UserError(f"there is no folder {base}, which {root / CONFIG} names")
    paths = base.glob("/".join(parts[len(fixed) :]) or "*")
    return base, sorted(path for path in paths if path.is_file() and not path.name.startswith("."))


def _named(base: Path, paths: Sequence[Path]) -> dict[str, str]:
    named: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(base).with_suffix("").as_posix()
        if name in named:
            raise UserError(f"{named[name]} and {path} would both be called {name}: keep one of them")
        named[name] = str(path)
    return named


def _labels_of_colours(
    mask: np.ndarray, classes: ClassScheme, ignore_colour: Sequence[int] | None, file: str
) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) uint8"""
    colours: list[Sequence[int]] = list(classes.palette)
    indices = list(range(len(classes)))
    if ignore_colour is not None:
        colours, indices = [*colours, ignore_colour], [*indices, classes.ignore_index]
    codes = _packed(np.array(colours, dtype=np.uint8))
    order = np.argsort(codes)
    pixels = _packed(mask)
    positions = np.searchsorted(codes[order], pixels).clip(max=len(codes) - 1)
    unknown = pixels[codes[order][positions] != pixels]
    if unknown.size:
        values = [f"#{code:06x}" for code in np.unique(unknown)]
        raise UnknownLabelError(file, values, ", ".join(f"#{code:06x}" for code in codes))
    return np.array(indices, dtype=np.uint8)[order][positions]


def _packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 -> (...) int32, red in the highest byte"""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
