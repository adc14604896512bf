"""Annotations in one file for each image: find which file is whose."""

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from fanet.errors import UserError
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.labels.names import match_names

_NAME = "{name}"


def find_annotations(
    root: Path, place: str, images: Mapping[str, str], suffix: str
) -> tuple[dict[str, str], list[str], list[str]]:
    """Find the annotation file of each image.

    Args:
        root: The folder that holds `dataset.yaml`.
        place: A folder whose files have the names of the images, or a path in which `{name}` stands for that name.
        images: The path of every image, by its name.
        suffix: The suffix of annotation files, for a folder.

    Returns:
        The file of each image that has one, by the image's name; further files, which are no image's; and a line on
        files that were matched by a part of their path only.

    Raises:
        UserError: There is no such folder, or it is not clear which file belongs to which image.
    """
    if _NAME in place:
        candidates = {name: root / place.replace(_NAME, name) for name in images}
        return {name: str(path) for name, path in candidates.items() if os.path.isfile(path)}, [], []
    folder = root / place
    if not os.path.isdir(folder):  # also of names that no folder can have
        raise UserError(
            f"there is no folder {folder}, which {root / 'dataset.yaml'} names: annotations must be a folder, "
            f"or a path with {_NAME} such as labels/{_NAME}{suffix}"
        )
    files = {
        unicodedata.normalize("NFC", path.relative_to(folder).as_posix()): str(path)
        for path in _walk(folder)
        if path.suffix.lower() == suffix
    }
    if not files:
        raise UserError(f"{folder} has no {suffix} files: annotations must be the folder that holds them")
    found, partly = match_names(list(files), images, root, str(folder))
    paths = {name: files[entry] for name, entry in found.items()}
    used = set(found.values())
    others = [path for entry, path in files.items() if entry not in used]
    notes = [f"{len(partly)} files are matched with an image by a part of their path only: {shortened(partly)}"]
    return paths, others, notes if partly else []


def _walk(folder: Path) -> list[Path]:
    """Return all files below a folder that are not hidden, through links as well."""
    found: list[Path] = []
    seen: set[str] = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if real not in seen else []
        if real not in seen:
            found += [Path(top, name) for name in sorted(names) if not name.startswith(".")]
        seen.add(real)
    return found
