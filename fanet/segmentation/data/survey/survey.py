"""Look at a folder of images and labels, and describe it in a `dataset.yaml`."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import by_split, shortened
from fanet.segmentation.data.folder import FolderDataset
from fanet.segmentation.data.folder_config import CONFIG, read_config
from fanet.segmentation.data.survey.colours import of_colours
from fanet.segmentation.data.survey.dealing import deal_groups
from fanet.segmentation.data.survey.groups import group_images, near_groups
from fanet.segmentation.data.survey.layout import (
    ALL,
    CALLED,
    COCO,
    LABELME,
    MASKS,
    YOLO,
    Layout,
    Source,
    find_layout,
    require_few_alone,
)
from fanet.segmentation.data.survey.lists import find_lists
from fanet.segmentation.data.survey.meaning import Meaning
from fanet.segmentation.data.survey.names import Names, find_names, require_different
from fanet.segmentation.data.survey.numbers import of_numbers
from fanet.segmentation.data.survey.outlines import of_categories, of_ids, of_labels
from fanet.segmentation.data.survey.places import places_of
from fanet.segmentation.data.survey.plan import Entry, Plan, drop_needless_lists, opened
from fanet.segmentation.data.survey.samples import Look, look_at
from fanet.segmentation.data.survey.tree import Tree, read_tree
from fanet.segmentation.data.survey.values import read_contents
from fanet.segmentation.data.survey.words import split_of

TRAIN, VAL = "train", "val"
_ORDER = (TRAIN, VAL, "test")
_MOST_CLASSES = 12  # that are shown with their number of images


@dataclass
class Survey:
    """What is in a folder.

    Attributes:
        root: The folder.
        classes: The classes.
        looks: What the samples look like, by split.
        train, val: Names of the splits to train and to validate on.
        found: Lines that say what is there.
        guesses: A line for each thing that was guessed or left out.
        example: An image to validate on, relative to the folder.
        plan: The description to write; None if there is a `dataset.yaml`.
    """

    root: Path
    classes: ClassScheme
    looks: Mapping[str, Sequence[Look]]
    train: str
    val: str
    found: list[str]
    guesses: list[str]
    example: str
    plan: Plan | None = None

    def texts(self, prefix: str = "") -> dict[str, str]:
        """Return the contents of the files to write by their names, with `prefix` before all names."""
        return self.plan.texts(prefix) if self.plan is not None else {}


def survey_folder(root: str | Path) -> Survey:
    """Find out what is in a folder, and what its `dataset.yaml` should say. Nothing stays written.

    Raises:
        UserError: There is nothing to train on, or a guess at what is meant may lose labels.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}")
    if os.path.lexists(root / CONFIG):
        return _described(root)
    tree = read_tree(root)
    layout = find_layout(tree)
    names, notes = find_names(tree)
    entries, more = _entries(tree, layout)
    plan = Plan(_meaning(layout, names, root), entries)
    guesses = [*layout.notes, *more, *notes, *plan.meaning.notes]
    with opened(root, plan) as datasets:
        classes = datasets[TRAIN].classes
        looks = {split: look_at(dataset, split) for split, dataset in datasets.items()}
        guesses += by_split({split: dataset.reader.notes for split, dataset in datasets.items()})
        images = _images(datasets[TRAIN], root)
    if VAL not in plan.entries:
        looks, note = _split_off(plan, looks, images)
        guesses.append(note)
    drop_needless_lists(root, plan)
    taken = [root / name for name in plan.texts() if os.path.lexists(root / name)]
    if taken:
        raise UserError(f"there is a file {taken[0]}, which is not overwritten: move it away")
    with opened(root, plan):
        pass
    found = [_counts(plan, layout), *_described_looks(looks, classes)]
    guesses += _oddities(looks, TRAIN, VAL)
    return Survey(root, classes, looks, TRAIN, VAL, found, guesses, plan.entries[VAL].images[0], plan)


def _meaning(layout: Layout, names: Names | None, root: Path) -> Meaning:
    files = list(dict.fromkeys(label.path for source in layout.sources.values() for _, label in source.pairs))
    if layout.form == MASKS:
        if names is not None:
            require_different(names, root)
        contents = read_contents(files, names)
        meaning = of_colours(contents, names, root) if contents.colours else of_numbers(contents, names, root)
        meaning.notes[:0] = contents.notes
        return meaning
    if layout.form == COCO:
        return of_categories(files)
    return of_labels(files, names) if layout.form == LABELME else of_ids(files, names, root)


def _described(root: Path) -> Survey:
    """Look at a folder that has a `dataset.yaml`."""
    splits = list(read_config(root).splits)
    train = next((split for split in splits if split_of(split) == TRAIN), splits[0])
    val = next((split for split in splits if split != train and split_of(split) == VAL), None)
    if val is None:
        line = f"val: {{from: {train}, share: 0.2}}"
        raise UserError(f"{root / CONFIG} has no split to validate on: add {line} to its splits")
    datasets = {split: FolderDataset(root, split) for split in splits}
    looks = {split: look_at(dataset, split) for split, dataset in datasets.items()}
    counts = ", ".join(f"{len(some)} in {split}" for split, some in looks.items())
    classes, example = datasets[train].classes, _images(datasets[val], root)[0]
    found = [f"{root / CONFIG} is there, and is used as it is: {counts}", *_described_looks(looks, classes)]
    guesses = by_split({split: dataset.unlisted() for split, dataset in datasets.items()})
    return Survey(root, classes, looks, train, val, found, [*guesses, *_oddities(looks, train, val)], example)


def _entries(tree: Tree, layout: Layout) -> tuple[dict[str, Entry], list[str]]:
    """Return where the images of each split are, and a line for each guess."""
    sources, listed, notes = layout.sources, dict[str, str](), list[str]()
    if ALL in sources:
        sources, listed, notes = _by_lists(tree, sources[ALL])
    entries = {}
    for split in sorted(sources, key=lambda split: (_ORDER.index(split) if split in _ORDER else len(_ORDER), split)):
        source = sources[split]
        require_few_alone(split, source, layout.form, tree.root)
        images = [image.name for image, _ in source.pairs]
        if source.alone and layout.form == YOLO:
            images += [image.name for image in source.alone]
        elif source.alone:
            shown = shortened([image.name for image in source.alone])
            notes.append(f"{counted(len(source.alone), 'image')} without labels left out: {shown}")
        places = places_of(tree.root, layout.form, layout.sources.get(ALL, source).pairs)
        entries[split] = Entry(places, sorted(images), None if source.alone else listed.get(split))
    return entries, notes


def _by_lists(tree: Tree, source: Source) -> tuple[dict[str, Source], dict[str, str], list[str]]:
    """Divide images by the lists of splits that are beside them.

    Returns:
        The images by split, all as `train` without lists; the list of each split; a line for each guess.
    """
    files = [*(image for image, _ in source.pairs), *source.alone]
    images = {PurePosixPath(file.name).with_suffix("").as_posix(): file.path for file in files}
    lists, notes = find_lists(tree, images)
    if TRAIN not in lists:
        return {TRAIN: source}, {}, notes
    sources = {}
    for split, (_, names) in lists.items():
        chosen = {images[name] for name in names}
        pairs = [pair for pair in source.pairs if pair[0].path in chosen]
        sources[split] = Source(pairs, [file for file in source.alone if file.path in chosen])
    rest = len(source.pairs) - len({image.path for part in sources.values() for image, _ in part.pairs})
    if rest:
        notes.append(f"{counted(rest, 'labelled image')} left out, which no list names")
    shown = ", ".join(file for file, _ in lists.values())
    return sources, {split: file for split, (file, _) in lists.items()}, [f"the splits are those of {shown}", *notes]


def _images(dataset: FolderDataset, root: Path) -> list[str]:
    """Return the images of a split, in its order, relative to the data set's folder."""
    return [Path(os.path.relpath(dataset.pair(index)[0], root)).as_posix() for index in range(len(dataset))]


def _split_off(plan: Plan, looks: Mapping[str, list[Look]], images: Sequence[str]) -> tuple[dict[str, list[Look]], str]:
    """Split validation images off those of training.

    Args:
        plan: Its entry for training is divided.
        looks: What the samples look like, by split.
        images: The images of training, in the order of their looks.

    Returns:
        The looks by split, and a line that says how they were divided.
    """
    of_train = looks[TRAIN]
    if len(of_train) < 2:
        raise UserError(f"there is only one labelled image, {images[0]}: at least two are needed, one to validate on")
    # relative to the folder that all are in: the split is the same wherever the images are kept
    folder = os.path.commonpath([PurePosixPath(image).parent for image in images])
    names = [PurePosixPath(image).relative_to(folder).with_suffix("").as_posix() for image in images]
    groups = group_images(names, [look.hash for look in of_train])
    deal = deal_groups(names, groups, [look.classes for look in of_train])
    held = set(deal.val)
    sides = {TRAIN: [index for index in range(len(images)) if index not in held], VAL: deal.val}
    places = plan.entries[TRAIN].places
    divided = {split: Entry(places, [images[index] for index in side]) for split, side in sides.items()}
    plan.entries = divided | {split: entry for split, entry in plan.entries.items() if split != TRAIN}
    all_looks = {split: [of_train[index] for index in side] for split, side in sides.items()}
    line = f"no split to validate on: {len(held)} of the {len(images)} training images are held out, {deal.note}"
    return all_looks | {split: some for split, some in looks.items() if split != TRAIN}, line


def _counts(plan: Plan, layout: Layout) -> str:
    parts = []
    for split, entry in plan.entries.items():
        of_list = entry.listed or (f"{split}.txt" if entry.needs_list else "")
        place = f"{entry.places['images']}{f', listed in {of_list}' if of_list else ''}"
        parts.append(f"{len(entry.images)} in {split} ({place})")
    total = sum(len(entry.images) for entry in plan.entries.values())
    kind = f" (mask_kind: {plan.meaning.kind})" if plan.meaning.kind in ("index", "colour") else ""
    return f"{counted(total, 'image')} with {CALLED[layout.form]}{kind}: {', '.join(parts)}"


def _described_looks(looks: Mapping[str, Sequence[Look]], classes: ClassScheme) -> list[str]:
    """Return lines on sizes, classes and objects."""
    every = [look for of_split in looks.values() for look in of_split]
    sizes = Counter(look.size for look in every)
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    small, large = (f"{width}x{height}" for height, width in (by_area[0], by_area[-1]))
    lines = [f"sizes: all {small}" if len(sizes) == 1 else f"sizes: {len(sizes)} from {small} to {large}"]
    counts = Counter(index for look in every for index in look.classes)
    shown = [f"{name} {counts[index]}" for index, name in enumerate(classes.names)]
    lines.append(f"classes, with the number of images that have them: {shortened(shown, _MOST_CLASSES)}")
    objects = [side for look in every for side in look.objects]
    if objects:
        low, middle = (100 * value for value in np.quantile(objects, (0.25, 0.5)))
        lines.append(
            f"objects: {len(objects)}, half of them under {middle:.0f} % of the image's longer side, a quarter under "
            f"{low:.0f} %"
        )
    return lines


def _oddities(looks: Mapping[str, Sequence[Look]], train: str, val: str) -> list[str]:
    """Return a line for each thing that may make scores or labels wrong."""
    lines = []
    turned = sum(look.turned for of_split in looks.values() for look in of_split)
    if turned:
        lines.append(
            f"{counted(turned, 'image')} rotated by an EXIF orientation, the labels are not: look whether they fit"
        )
    count = len(looks[train])
    groups = near_groups([look.hash for split in (train, val) for look in looks[split]])
    known = set(groups[:count])
    shared = sum(group in known for group in groups[count:])
    if shared:
        lines.append(
            f"{shared} of the {len(looks[val])} images of {val} look like one of {train}, so expect a score "
            "that is too good"
        )
    return lines
