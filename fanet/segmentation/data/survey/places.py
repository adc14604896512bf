"""Write down where paired files are: the folders and patterns of a split in `dataset.yaml`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fanet.errors import UserError
from fanet.media.formats import is_image_file
from fanet.segmentation.data.pairing import NAME, find_images, find_masks
from fanet.segmentation.data.suggest import affix_of, affixes_of
from fanet.segmentation.data.survey.layout import COCO, MASKS, Pair

DEEP = "/**/*"  # whatever is below a folder


def places_of(root: Path, form: str, pairs: Sequence[Pair]) -> dict[str, str]:
    """Return the keys `images` and `masks` or `annotations` of a split that has exactly these pairs.

    Args:
        root: The folder of the data set.
        form: The form of the labels.
        pairs: Images and their labels.

    Raises:
        UserError: No folders or patterns describe them.
    """
    if form != MASKS:
        return _annotated(form, pairs)
    wanted = {(image.path, mask.path) for image, mask in pairs}
    for images, masks in _candidates(pairs):
        if _found(root, images, masks) == wanted:
            return {"images": images, "masks": masks}
    twins = _twins(pairs)
    if twins is not None:
        raise UserError(f"{twins[0]} and {twins[1]} would both be called {twins[0].stem}: keep one of them")
    image, mask = pairs[0]
    raise UserError(
        f"the {len(pairs)} images such as {image.path} and their masks such as {mask.path} are in too many folders for "
        "one pattern: put the images into one folder and the masks, under the same names, into another "
        "(subfolders with the same names are fine)"
    )


def _twins(pairs: Sequence[Pair]) -> tuple[Path, Path] | None:
    """Return an image and another one beside it that differs in its suffix only; None if there are none."""
    masks, images = {mask.path for _, mask in pairs}, {image.path for image, _ in pairs}
    stems = {Path(path).with_suffix(""): Path(path) for path in images}
    for folder in sorted({path.parent for path in stems}):
        for other in sorted(folder.iterdir()):
            image = stems.get(other.with_suffix(""))
            if image not in (None, other) and str(other) not in masks and is_image_file(other):
                return image, other
    return None


def _annotated(form: str, pairs: Sequence[Pair]) -> dict[str, str]:
    images = [PurePosixPath(image.name) for image, _ in pairs]
    folder = _common(images)
    place = folder if all(image.parent == PurePosixPath(folder) for image in images) else _join(folder, DEEP)
    if form == COCO:
        return {"images": place, "annotations": pairs[0][1].name}
    labels = [PurePosixPath(label.name) for _, label in pairs]
    below = _common(labels)
    suffix = labels[0].suffix
    names = {_named(image, folder) for image in images}
    if {_named(label, below) for label in labels} == names:
        return {"images": place, "annotations": _join(below, f"/{NAME}{suffix}")}
    return {"images": place, "annotations": below}


def _candidates(pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """Yield folders and patterns for images and masks, plain ones first."""
    images = [PurePosixPath(image.name) for image, _ in pairs]
    masks = [PurePosixPath(mask.name) for _, mask in pairs]
    image_folder, mask_folder = _common(images), _common(masks)
    yield image_folder, mask_folder
    deep = _join(image_folder, DEEP)
    yield deep, _join(mask_folder, DEEP)
    ends = {path.suffix for path in images}
    image_ends = [*(ends if len(ends) == 1 else ()), ".*"]
    mask_end = masks[0].suffix if len({path.suffix.lower() for path in masks}) == 1 else ".*"
    names, mask_names = ([_named(p, f) for p in of] for of, f in ((images, image_folder), (masks, mask_folder)))
    for end in image_ends:
        yield _join(image_folder, f"/*{end}"), _join(mask_folder, f"/{NAME}{mask_end}")
    affix = affix_of(names, mask_names)
    if affix is not None:
        before, after = affix
        for place in (image_folder, *(_join(image_folder, f"/*{end}") for end in image_ends), deep):
            yield place, _join(mask_folder, f"/{before}{NAME}{after}{mask_end}")
    # a folder for each image, in which files are called alike
    called, mask_called = {path.name for path in images}, {path.name for path in masks}
    if len(called) == len(mask_called) == 1:
        yield (
            _join(image_folder, f"/{NAME}/{called.copy().pop()}"),
            _join(mask_folder, f"/{NAME}/{mask_called.copy().pop()}"),
        )
    both = affixes_of(names, mask_names)
    if both is not None:
        (first, last), (mask_first, mask_last) = both
        for end in image_ends:
            yield (
                _join(image_folder, f"/{first}{NAME}{last}{end}"),
                _join(mask_folder, f"/{mask_first}{NAME}{mask_last}{mask_end}"),
            )
    # recordings with a folder of images and one of masks each, whose files have names of their own
    inner, mask_inner = {path.parent.name for path in images}, {path.parent.name for path in masks}
    if len(inner) == len(mask_inner) == 1:
        stars = "*/" * (len(images[0].relative_to(image_folder).parts) - 2)
        for after in (affix[1] if affix else "", ""):
            yield (
                _join(image_folder, f"/{stars}{inner.copy().pop()}/{NAME}.*"),
                _join(mask_folder, f"/{stars}{mask_inner.copy().pop()}/{NAME}{after}.*"),
            )


def _found(root: Path, images: str, masks: str) -> set[tuple[str, str]]:
    """Return the pairs that `FolderDataset` finds with these places."""
    try:
        of_images = find_images(root, images).files
        of_masks = find_masks(root, masks, of_images).files
    except UserError:  # two files of one name
        return set()
    taken = {of_masks[name] for name in of_images if name in of_masks}
    return {
        (os.path.normpath(path), os.path.normpath(of_masks[name]))
        for name, path in of_images.items()
        if name in of_masks and path not in taken
    }


def _common(paths: Sequence[PurePosixPath]) -> str:
    """Return the folder that all files are in or below; `.` for the root."""
    return os.path.commonpath([path.parent.as_posix() for path in paths]) or "."


def _named(path: PurePosixPath, folder: str) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _join(folder: str, rest: str) -> str:
    return rest.lstrip("/") if folder == "." else f"{folder}{rest}"
