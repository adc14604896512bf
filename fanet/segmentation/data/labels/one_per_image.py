"""Annotations in one file for each image: find which file is whose."""

import os
from collections.abc import Mapping
from pathlib import Path

from fanet.errors import UserError
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.labels.names import match_names
from fanet.segmentation.data.pairing import NAME, find_named
from fanet.segmentation.data.walking import walk


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
    if NAME in place:
        return find_named(root, place, images, "annotations"), [], []
    folder = root / place
    if not os.path.isdir(folder):  # also of names that no folder can have
        raise UserError(
            f"there is no folder {folder}, which {root / 'dataset.yaml'} names: annotations must be a folder, "
            f"or a path with {NAME} such as labels/{NAME}{suffix}"
        )
    files = {name: path for name, path in walk(folder, None).files if Path(name).suffix.lower() == suffix}
    if not files:
        raise UserError(f"{folder} has no {suffix} files: annotations must be the folder that holds them")
    found, partly = match_names(list(files), images, root, str(folder))
    paths = {name: files[entry] for name, entry in found.items()}
    used = set(found.values())
    others = [path for entry, path in files.items() if entry not in used]
    notes = [f"{len(partly)} files are matched with an image by a part of their path only: {shortened(partly)}"]
    return paths, others, notes if partly else []
