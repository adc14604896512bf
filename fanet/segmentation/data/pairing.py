"""Find the images and masks of a split, and which of them belong together."""

import glob
import os
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from fanet.errors import UserError
from fanet.media.images import is_image_file

_NAME = "{name}"


def pair_files(
    images: Mapping[str, str], masks: Mapping[str, str]
) -> tuple[list[tuple[str, str, str]], list[str], list[str]]:
    """Pair images and masks that have the same key.

    Returns:
        (key, image, mask) in the order of the keys; images without a mask; masks without an image.
    """
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    return (
        pairs,
        [images[key] for key in sorted(images.keys() - masks.keys())],
        [masks[key] for key in sorted(masks.keys() - images.keys())],
    )


def find_images(root: Path, pattern: str) -> dict[str, str]:
    """Return the path of every image that a folder or pattern stands for, by its name.

    Raises:
        UserError: There is no such folder, or two images would have one name.
    """
    return _named(*_matches(root, pattern))


def find_masks(root: Path, pattern: str, images: Mapping[str, str]) -> dict[str, str]:
    """Return the path of every mask, by the name of its image.

    Args:
        root: The folder that `pattern` is relative to.
        pattern: A folder, a glob pattern, or a path in which `{name}` stands for the name of an image.
        images: The path of every image, by its name.

    Raises:
        UserError: There is no such folder, or two masks would belong to one image.
    """
    if _NAME not in pattern:
        return _named(*_matches(root, pattern))
    candidates = {name: root / pattern.replace(_NAME, name) for name in images}
    return {name: str(path) for name, path in candidates.items() if os.path.isfile(path)}


def _matches(root: Path, pattern: str) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the visible images in it that match."""
    parts = Path(pattern).parts
    fixed = list(takewhile(lambda part: not glob.has_magic(part), parts))
    base = root.joinpath(*fixed)
    if not os.path.isdir(base):  # also of names that no folder can have
        raise UserError(f"there is no folder {base}, which {root / 'dataset.yaml'} names")
    try:
        paths = list(base.glob("/".join(parts[len(fixed) :]) or "*"))
    except ValueError as error:
        raise UserError(f"{root / 'dataset.yaml'}: {pattern!r} is no pattern of paths: {error}") from error
    files = sorted(path for path in paths if path.is_file() and not path.name.startswith("."))
    return base, [path for path in files if is_image_file(path)]


def _named(base: Path, paths: Sequence[Path]) -> dict[str, str]:
    named: dict[str, str] = {}
    for path in paths:
        name = path.relative_to(base).with_suffix("").as_posix()
        if name in named:
            raise UserError(f"{named[name]} and {path} would both be called {name}: keep one of them")
        named[name] = str(path)
    return named
