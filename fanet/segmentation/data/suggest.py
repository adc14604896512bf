"""Guess what a person meant, for the end of an error: a line of `dataset.yaml` to copy."""

import os
from collections.abc import Mapping, Sequence
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
    affix = _affix(list(images), list(masks))
    if affix is not None:
        return f"did you mean masks: {folders[1]}/{affix[0]}{{name}}{affix[1]}{mask_end}?"
    pair = _affixes(list(images), list(masks))
    if pair is not None:
        (first, last), (mask_first, mask_last) = pair
        return (
            f"did you mean images: {folders[0]}/{first}{{name}}{last}{image_end}, "
            f"masks: {folders[1]}/{mask_first}{{name}}{mask_last}{mask_end}?"
        )
    return None


def _affix(images: Sequence[str], masks: Sequence[str]) -> tuple[str, str] | None:
    """Return what precedes and follows the names of images in those of masks, if that fits at least half of them."""
    found: dict[tuple[str, str], int] = {}
    known = set(masks)
    for name in images[:3]:
        base = PurePosixPath(name).name
        for mask in masks:
            before, middle, after = mask.rpartition(base)
            if middle and before.endswith(str(PurePosixPath(name).parent).removeprefix(".")):
                found[before.rpartition("/")[2], after] = 0
    for before, after in found:
        made = (str(PurePosixPath(name).with_name(f"{before}{PurePosixPath(name).name}{after}")) for name in images)
        found[before, after] = sum(name in known for name in made)
    best = max(found, key=lambda affix: found[affix], default=None)
    if best is None or found[best] * 2 < len(images) or (best[0] and any("/" in name for name in images)):
        return None
    return best


def _affixes(images: Sequence[str], masks: Sequence[str]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Return what surrounds the part that images and masks have in common, if that pairs at least half of them."""
    if min(len(images), len(masks)) < 2:
        return None
    first, mask_first = os.path.commonprefix(images), os.path.commonprefix(masks)
    last, mask_last = (os.path.commonprefix([name[::-1] for name in names])[::-1] for names in (images, masks))
    while first and mask_first and first[-1] == mask_first[-1]:
        first, mask_first = first[:-1], mask_first[:-1]
    while last and mask_last and last[0] == mask_last[0]:
        last, mask_last = last[1:], mask_last[1:]
    cores = {name[len(first) : len(name) - len(last)] for name in images}
    others = {name[len(mask_first) : len(name) - len(mask_last)] for name in masks}
    return ((first, last), (mask_first, mask_last)) if len(cores & others) * 2 >= len(images) else None
