"""Guess what a person meant, for the end of an error: a line of `dataset.yaml` to copy."""

import os
import re
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "x")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentationclass", "gt", "sem_seg", "y")


def suggest_config(root: Path) -> str:
    """Return a `dataset.yaml` in one line, fitted to the folders in `root` if their names are usual ones."""
    images, masks = _folder_called(root, IMAGE_FOLDERS), _folder_called(root, MASK_FOLDERS)
    if images is None or masks is None:
        images, masks, splits = "images", "masks", []
    else:
        splits = sorted(_folders(root / images).keys() & _folders(root / masks).keys())
    places = {split: f"{{images: {images}/{split}, masks: {masks}/{split}}}" for split in splits[:4]}
    if not places:
        places = {"train": f"{{images: {images}, masks: {masks}}}", "val": "{from: train, share: 0.2}"}
    lines = ", ".join(f"{split}: {place}" for split, place in places.items())
    return f"{{classes: [background, object], splits: {{{lines}}}}}"


def _folders(folder: Path) -> dict[str, str]:
    try:
        return {entry.name: entry.name.lower() for entry in folder.iterdir() if entry.is_dir()}
    except OSError:
        return {}


def _folder_called(root: Path, names: Sequence[str]) -> str | None:
    there = {lower: name for name, lower in _folders(root).items()}
    return next((there[name] for name in names if name in there), None)


def suggest_masks(folders: Sequence[str], images: Mapping[str, str], masks: Mapping[str, str]) -> str | None:
    """Return what would pair images with masks that are called otherwise, as the end of a sentence; None if unknown.

    Args:
        folders: The folder of the images and that of the masks, as in `dataset.yaml`.
        images: The path of each image without a mask, by name.
        masks: The path of each mask without an image, by name.
    """
    by_case = {name.casefold(): name for name in masks}
    for name in images:
        other = by_case.get(name.casefold())
        if other is not None:
            return f"{masks[other]} differs from it in upper and lower case only: rename it"
    image_end, mask_end = (Path(next(iter(of.values()), "")).suffix for of in (images, masks))
    affix = affix_of(list(images), list(masks))
    if affix is not None:
        return f"did you mean masks: {folders[1]}/{affix[0]}{{name}}{affix[1]}{mask_end}?"
    pair = affixes_of(list(images), list(masks))
    if pair is not None:
        (first, last), (mask_first, mask_last) = pair
        return (
            f"did you mean images: {folders[0]}/{first}{{name}}{last}{image_end}, "
            f"masks: {folders[1]}/{mask_first}{{name}}{mask_last}{mask_end}?"
        )
    return None


def affix_of(images: Sequence[str], masks: Sequence[str]) -> tuple[str, str] | None:
    """Return what precedes and follows the names of images in those of masks, if that fits at least half of them."""
    found: dict[tuple[str, str], int] = {}
    known = set(masks)
    for path in map(PurePosixPath, images[:3]):
        for mask in map(PurePosixPath, masks):
            if mask.parent == path.parent:
                ends = [(match.start(), match.end()) for match in re.finditer(re.escape(path.name), mask.name)]
                found.update({(mask.name[:start], mask.name[end:]): 0 for start, end in ends})
    for before, after in found:
        made = (str(PurePosixPath(name).with_name(f"{before}{PurePosixPath(name).name}{after}")) for name in images)
        found[before, after] = sum(name in known for name in made)
    best = max(found, key=lambda affix: found[affix], default=None)
    if best is None or found[best] * 2 < len(images) or (best[0] and any("/" in name for name in images)):
        return None
    return best


def affixes_of(images: Sequence[str], masks: Sequence[str]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Return what surrounds the part that images and masks have in common, if that pairs at least half of them."""
    if min(len(images), len(masks)) < 2:
        return None
    first, mask_first = os.path.commonprefix(images), os.path.commonprefix(masks)
    last, mask_last = (os.path.commonprefix([name[::-1] for name in names])[::-1] for names in (images, masks))
    first, mask_first = _without_numbers(first, mask_first, str.rstrip)
    last, mask_last = _without_numbers(last, mask_last, str.lstrip)
    cores = {name[len(first) : len(name) - len(last)] for name in images}
    others = {name[len(mask_first) : len(name) - len(mask_last)] for name in masks}
    return ((first, last), (mask_first, mask_last)) if len(cores & others) * 2 >= len(images) else None


def _without_numbers(one: str, other: str, strip: Callable[[str, str], str]) -> tuple[str, str]:
    """Leave digits to the names, of which they are a part, and whatever images and masks share."""
    return ("", "") if one == other else (strip(one, string.digits), strip(other, string.digits))
