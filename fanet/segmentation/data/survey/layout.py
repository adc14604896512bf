"""Where images and their labels are: which files are paired, and which split they are in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from fanet.errors import UserError, counted
from fanet.media.label_maps import read_colours, read_values
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.suggest import affix_of, affixes_of
from fanet.segmentation.data.survey.coco import find_coco
from fanet.segmentation.data.survey.tree import ARCHIVES, Tree, by_folder, stem_of
from fanet.segmentation.data.survey.words import (
    IMAGES,
    LABELS,
    is_aside,
    is_mark,
    is_marked,
    is_of_instances,
    key_of,
    role_of,
    split_of,
)
from fanet.segmentation.data.walking import File

MASKS, COCO, YOLO, LABELME = "masks", "coco", "yolo", "labelme"  # forms of labels
CALLED = {MASKS: "masks", COCO: "COCO annotations", YOLO: "YOLO text files", LABELME: "labelme files"}
ALL = ""  # the split of images that are in none yet
MOST_ALONE = 0.1  # share of images without labels that is left out; a larger one is refused
_MOST_COLOURS = 40  # of a mask: photographs have many more
_LOOKED_AT = 3  # files of a folder

#: An image and the file with its labels.
Pair = tuple[File, File]


@dataclass
class Source:
    """The labelled images of one split.

    Attributes:
        pairs: Images with their labels.
        alone: Images in the same folders that have no labels.
    """

    pairs: list[Pair] = field(default_factory=list)
    alone: list[File] = field(default_factory=list)


@dataclass
class Layout:
    """What is in a folder.

    Attributes:
        form: In which form the labels are.
        sources: The images by split; `ALL` if they are not divided yet.
        notes: A line for each thing that was guessed or left out.
    """

    form: str
    sources: dict[str, Source]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Part:
    """Files of one folder that have the same role."""

    folder: str
    files: tuple[File, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return key_of(self.folder)

    def by_stem(self) -> dict[str, File]:
        return {stem_of(file): file for file in self.files}


def find_layout(tree: Tree) -> Layout:
    """Find out how a data set is laid out.

    Raises:
        UserError: There are no images or no labels, or it is not clear which labels are meant.
    """
    if not tree.images:
        advice = _unpack(tree) or "put images and masks (or annotations) into it, images/ and masks/"
        raise UserError(f"{tree.root} has no images: {advice}")
    images, masks, notes = _divided(tree)
    found: dict[str, dict[str, Source]] = {}
    labels = {MASKS: masks, YOLO: _parts(tree.yolo), LABELME: _parts(tree.labelme)}
    for form, parts in labels.items():
        of_form = _paired(images, parts, tree.root)
        if of_form:
            found[form] = of_form
    if tree.coco:
        of_coco, missing = find_coco(tree, [file for part in images for file in part.files])
        found[COCO] = {split: Source(pairs) for split, pairs in of_coco.items()}
        notes += missing
    if not found:
        raise UserError(_nothing(tree, images, masks))
    if len(found) > 1:
        one, other, *_ = (f"{CALLED[form]} ({_example(found[form])})" for form in found)
        raise UserError(
            f"{tree.root} has labels in two forms, {one} and {other}: move those that are not meant out of it"
        )
    (form, sources), *_ = found.items()
    if form == COCO:
        _add_unlisted(sources, [file for part in images for file in part.files])
    _require_splits(sources, tree.root)
    notes += _unused(sources, images, labels.get(form, []))
    return Layout(form, sources, notes)


def _divided(tree: Tree) -> tuple[list[_Part], list[_Part], list[str]]:
    """Return the parts that are images, those that are masks, and a line for each guess."""
    images: list[_Part] = []
    masks: list[_Part] = []
    notes = []
    unnamed: list[_Part] = []
    for folder, files in by_folder(tree.images).items():
        if is_aside(folder):
            notes.append(f"{counted(len(files), 'image')} in {folder} left out: drawings to look at, by its name")
            continue
        role = role_of(folder)
        is_mask = is_mark if len(files) == 2 and any(is_mark(stem_of(file)) for file in files) else is_marked
        marked = tuple(file for file in files if is_mask(stem_of(file)))
        plain = tuple(file for file in files if not is_mask(stem_of(file)))
        if role == LABELS:
            masks.append(_Part(folder, tuple(files)))
        elif marked and plain:
            images.append(_Part(folder, plain))
            masks.append(_Part(folder, marked))
        elif marked:
            masks.append(_Part(folder, marked))
        else:
            twins = _twins(plain)
            images_of = _Part(folder, tuple(file for file in plain if file not in twins))
            if twins:
                masks.append(_Part(folder, twins))
            if images_of.files:
                (images if role == IMAGES or twins else unnamed).append(images_of)
    has_labels = bool(masks or tree.coco or tree.labelme or tree.yolo)
    for part in unnamed:
        has_masks = not has_labels and _looks_like_masks(part)
        (masks if has_masks else images).append(part)
        if has_masks:
            notes.append(f"{part.folder} holds the masks, by what is in its files")
    return images, masks, notes


def _twins(files: Sequence[File]) -> tuple[File, ...]:
    """Return the masks among files of a folder that share their name with an image of another suffix."""
    by_stem: dict[str, list[File]] = {}
    for file in files:
        by_stem.setdefault(stem_of(file), []).append(file)
    pairs = [pair for pair in by_stem.values() if len(pair) == 2]
    if not pairs:
        return ()
    found = []
    for pair in pairs:
        lossless = [f for f in pair if PurePosixPath(f.name).suffix.lower() not in (".jpg", ".jpeg")]
        likely = lossless if len(lossless) == 1 else [f for f in lossless if _looks_like_mask(Path(f.path))]
        found += likely[:1]
    return tuple(found) if found and _looks_like_masks(_Part("", tuple(found))) else ()


def _looks_like_masks(part: _Part) -> bool:
    return all(_looks_like_mask(Path(file.path)) for file in part.files[:_LOOKED_AT])


def _looks_like_mask(path: Path) -> bool:
    """Return whether an image has as few values or colours as a mask."""
    try:
        return len(np.unique(read_values(path).pixels)) <= _MOST_COLOURS
    except UserError:
        pass
    try:
        colours = read_colours(path).pixels.reshape(-1, 3)
    except UserError:
        return False
    return len(np.unique(colours, axis=0)) <= _MOST_COLOURS


def _parts(files: Sequence[File]) -> list[_Part]:
    return [_Part(folder, tuple(inside)) for folder, inside in by_folder(files).items()]


def _paired(images: Sequence[_Part], labels: Sequence[_Part], root: Path) -> dict[str, Source]:
    """Pair images with labels of one form, by folder, and return them by split."""
    sources: dict[str, Source] = {}
    keys = {part.key for part in images}
    unclaimed = [part for part in labels if part.key not in keys]
    for part in images:
        candidates = [other for other in labels if other.key == part.key] or unclaimed
        found = [(other, pairs) for other in candidates if (pairs := _pairs(part, other, root))]
        others = [other for other in unclaimed if other not in candidates and set(part.key) < set(other.key)]
        found += [(other, pairs) for other in others if found and (pairs := _pairs(part, other, root))]
        if len(found) > 1:
            found = [each for each in found if not is_of_instances(each[0].folder)] or found
        if len(found) > 1 and max(len(pairs) for _, pairs in found) * 2 > len(part.files) and not _are_splits(found):
            one, other = (_place(root, each.folder) for each, _ in found[:2])
            raise UserError(
                f"{one} and {other} both have labels for the images in {_place(root, part.folder)}: move the one that "
                f"is not meant out of {root}, or combine them, with a number for each class, if each is about one"
            )
        paired = set[str]()
        for labels_of, pairs in found:  # the folder of the masks may name the split, if that of the images does not
            source = sources.setdefault(split_of(part.folder) or split_of(labels_of.folder) or ALL, Source())
            source.pairs += [(image, label) for image, label in pairs if image.name not in paired]
            paired |= {image.name for image, _ in pairs}
        if found:
            largest = max(found, key=lambda each: len(each[1]))[0]
            source = sources[split_of(part.folder) or split_of(largest.folder) or ALL]
            source.alone += [file for file in part.files if file.name not in paired]
    return sources


def _are_splits(found: Sequence[tuple[_Part, list[Pair]]]) -> bool:
    """Return whether folders of masks are splits of one folder of images, by their names."""
    splits = [split_of(part.folder) for part, _ in found]
    images = [image.name for _, pairs in found for image, _ in pairs]
    return None not in splits and len(set(splits)) == len(splits) and len(set(images)) == len(images)


def _pairs(images: _Part, labels: _Part, root: Path) -> list[Pair]:
    """Pair the files of two folders by their names; none if fewer than half of either fit."""
    names, others = images.by_stem(), labels.by_stem()
    if images.folder == labels.folder and len(names) == len(others) == 1 and is_mark(next(iter(others))):
        return list(zip(names.values(), others.values(), strict=True))  # a folder for each image
    enough = min(len(names), len(others)) / 2
    pairs = [(names[name], others[name]) for name in names if name in others]
    if len(pairs) >= enough:
        return pairs
    taken: set[str] = set()
    found: list[list[Pair]] = []
    while (affix := affix_of(list(names), [name for name in others if name not in taken])) is not None:
        before, after = affix
        fit = [(names[name], others[f"{before}{name}{after}"]) for name in names if f"{before}{name}{after}" in others]
        found.append(fit)
        taken |= {stem_of(label) for _, label in fit}
    if len(found) > 1:
        one, other = (some[0][1].path for some in found[:2])
        raise UserError(f"{one} and {other} may both be the mask of {found[0][0][0].path}: keep one of the two kinds")
    if found:
        return found[0]
    both = affixes_of(list(names), list(others))
    if both is None:
        return []
    (first, last), (mask_first, mask_last) = both
    cores = {name[len(first) : len(name) - len(last)]: file for name, file in names.items()}
    masks = {name[len(mask_first) : len(name) - len(mask_last)]: file for name, file in others.items()}
    return [(cores[core], masks[core]) for core in cores if core in masks]


def _add_unlisted(sources: Mapping[str, Source], images: Sequence[File]) -> None:
    """Add the images that no annotation file lists to the split in whose folder they are."""
    listed = {image.name for source in sources.values() for image, _ in source.pairs}
    for source in sources.values():
        folders = {PurePosixPath(image.name).parent for image, _ in source.pairs}
        source.alone = [f for f in images if PurePosixPath(f.name).parent in folders and f.name not in listed]


def _require_splits(sources: Mapping[str, Source], root: Path) -> None:
    if len(sources) > 1 and ALL in sources:
        image = sources[ALL].pairs[0][0].path
        named = ", ".join(split for split in sources if split != ALL)
        raise UserError(
            f"{len(sources[ALL].pairs)} labelled images such as {image} are in no split, while others are in {named}: "
            f"move them into a folder called train, val or test, or out of {root}"
        )
    if ALL not in sources and "train" not in sources:
        raise UserError(
            f"{root} has labelled images for {' and '.join(sources)} only, and none to train on: call the folder that "
            "is to be learned from train"
        )


def require_few_alone(split: str, source: Source, form: str, root: Path) -> None:
    """Refuse a split in which many images have no labels: those may be called otherwise, or be missing.

    Raises:
        UserError: More than a tenth of the images have none; with YOLO, where that may mean no objects, half.
    """
    alone, count = source.alone, len(source.pairs) + len(source.alone)
    if form == YOLO and len(alone) <= count / 2:
        return  # an image without a text file has no objects: so YOLO has it
    if len(alone) > max(1, MOST_ALONE * count):
        what = "text file" if form == YOLO else "labels" if form != MASKS else "mask"
        raise UserError(
            f"{len(alone)} of the {count} images{f' of {split}' if split else ''} in {root} have no {what}: "
            f"{shortened([file.path for file in alone])}: add what is missing, or move these images out of {root}"
        )


def _unused(sources: Mapping[str, Source], images: Sequence[_Part], labels: Sequence[_Part]) -> list[str]:
    """Return a line for each folder of images or labels of which some are neither paired nor counted as alone."""
    used = {file.name for source in sources.values() for pair in source.pairs for file in pair}
    used |= {file.name for source in sources.values() for file in source.alone}
    lines = []
    for parts, noun, what in ((images, "image", "labels"), (labels, "label file", "images")):
        for part in parts:
            count = sum(file.name not in used for file in part.files)
            if count:
                reason = "numbers of objects" if is_of_instances(part.folder) else f"no {what} of these names"
                lines.append(f"{counted(count, noun)} in {part.folder} left out: {reason}")
    return lines


def _nothing(tree: Tree, images: Sequence[_Part], masks: Sequence[_Part]) -> str:
    root = tree.root
    if not masks:
        others = [file.path for file in tree.unread if not file.name.lower().endswith(ARCHIVES)]
        unread = f" ({shortened(others)}: in a format that is not read)" if others else ""
        advice = _unpack(tree) or (
            f"put masks of the same names into {root / 'masks'}, or COCO, YOLO or labelme annotations beside the images"
        )
        return (
            f"{root} has {counted(len(tree.images), 'image')}, but neither masks nor annotations for them{unread}: "
            f"{advice}"
        )
    if not images:
        return f"{root} has masks only: put the images into {root / 'images'}"
    image, mask = images[0].files[0], masks[0].files[0]
    by_case = {stem.casefold(): file for part in masks for stem, file in part.by_stem().items()}
    twin = by_case.get(stem_of(image).casefold())
    if twin is not None:
        return f"{twin.path} and {image.path} differ in upper and lower case: give masks the names of their images"
    counts = [sum(len(part.files) for part in parts) for parts in (masks, images)]
    if counts[0] > counts[1]:
        return (
            f"{root} has {counts[0]} masks for {counts[1]} images, and it is not clear which are meant: keep those "
            f"of one kind; there are {shortened([file.path for file in masks[0].files])}"
        )
    return (
        f"no mask in {root} has the name of an image, such as {mask.path} and {image.path}: give them the same name, "
        "or add _mask to that of the mask"
    )


def _unpack(tree: Tree) -> str | None:
    """Return the advice to unpack archives that may hold what is missing; None if there are none."""
    archives = [file.path for file in tree.unread if file.name.lower().endswith(ARCHIVES)]
    return f"unpack {shortened(archives)} first" if archives else None


def _example(sources: Mapping[str, Source]) -> str:
    return next(iter(sources.values())).pairs[0][1].name


def _place(root: Path, folder: str) -> Path:
    return root if folder == "." else root / folder
