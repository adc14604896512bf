"""The sides of a comparison: one evaluation or those of several training runs, from folders or from a grid's table."""

import csv
import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.evaluation.metrics import scores_of
from fanet.segmentation.evaluation.per_image import PER_IMAGE_NAME, PerImage
from fanet.segmentation.network.card import METRICS_NAME

_SEED = "seed"  # the axis of a grid on which rows are runs of one thing
_END_OF_AXES = "split"  # the first column of a grid's table that is no axis


@dataclass(frozen=True)
class Side:
    """What is compared: the evaluations of one or several training runs, all on the same images.

    Attributes:
        name: As the user named it.
        runs: What each run is called.
        classes: Names of the C classes.
        scores: IoU of every class and their mean of each run, (runs, C + 1) in 0..1, nan for one that does not exist.
        where: What it was scored on, to tell whether two sides are comparable, by what it is called.
        images: The counts of every image, by run; empty for rows of a table, which have none.
    """

    name: str
    runs: Sequence[str]
    classes: Sequence[str]
    scores: np.ndarray
    where: Mapping[str, str]
    images: Sequence[PerImage] = ()


def read_side(text: str) -> Side:
    """Read a side of a comparison.

    Args:
        text: The folder of an evaluation; a folder with several of them below, such as those of training runs; a
            pattern of such folders; or `TABLE.csv:AXIS=VALUE,…`, rows of a grid's table that differ in their seed.

    Raises:
        UserError: There is no evaluation, or several are on different images or classes.
    """
    table = re.fullmatch(r"(.+\.csv)(?::(.*))?", text)
    if table:
        return _rows(text, Path(table[1]), table[2] or "")
    return side_of(text, _evaluations(text))


def side_of(name: str, folders: Sequence[Path]) -> Side:
    """Join the evaluations of one or several training runs into a side of a comparison.

    Args:
        name: What it is called.
        folders: Of the evaluations, at least one.

    Raises:
        UserError: They are on different images or classes.
    """
    images = [PerImage.load(folder / PER_IMAGE_NAME) for folder in folders]
    first, *others = images
    aligned = [first, *(align(other, first, str(folder)) for other, folder in zip(others, folders[1:], strict=True))]
    scores = np.stack([scores_of(one.margins.sum(axis=0)) for one in aligned])
    return Side(name, list(map(str, folders)), first.classes, scores, {}, aligned)


def align(found: PerImage, wanted: PerImage, name: str) -> PerImage:
    """Return counts in the order of the images of others.

    Args:
        found: The counts.
        wanted: The others.
        name: What errors call the counts.

    Raises:
        UserError: They are of other classes, images or labels.
    """
    if list(found.classes) != list(wanted.classes):
        raise UserError(
            f"{name} is of other classes ({shortened(found.classes)}) than what it is compared with "
            f"({shortened(wanted.classes)})"
        )
    differing = set(found.images) ^ set(wanted.images)
    if differing:
        raise UserError(
            f"{name} is of other images than what it is compared with: {counted(len(differing), 'image')} in only one "
            f"of them, {shortened(sorted(differing))}; evaluate both on the same split"
        )
    place = {image: index for index, image in enumerate(found.images)}
    margins = found.margins[[place[image] for image in wanted.images]]
    changed = (margins[:, 1] != wanted.margins[:, 1]).any(axis=1)
    if changed.any():
        names = [image for image, is_changed in zip(wanted.images, changed, strict=True) if is_changed]
        raise UserError(
            f"{name} has other labels than what it is compared with in {counted(len(names), 'image')}, "
            f"{shortened(names)}; evaluate both on the same data"
        )
    return PerImage(wanted.images, wanted.classes, margins)


def _evaluations(text: str) -> list[Path]:
    """Return the folders of evaluations below what the user named.

    Raises:
        UserError: There is none.
    """
    places = [Path(text)] if Path(text).exists() else [Path(match) for match in sorted(glob.glob(text))]
    if not places:
        raise UserError(f"there is no {text} to compare: name the folder of an evaluation, or put a pattern in quotes")
    found: list[Path] = []
    for place in places:
        folder = place if place.is_dir() else place.parent
        below = [] if (folder / PER_IMAGE_NAME).is_file() else sorted(folder.rglob(PER_IMAGE_NAME))
        of_place = [path.parent for path in below] or ([folder] if (folder / PER_IMAGE_NAME).is_file() else [])
        if not of_place:
            is_old = (folder / METRICS_NAME).is_file() or any(folder.rglob(METRICS_NAME))
            why = f"has no {PER_IMAGE_NAME}, which earlier versions did not write" if is_old else "has no evaluation"
            raise UserError(f"{place} {why}: run fanet evaluate -o {folder} first")
        found += of_place
    return list(dict.fromkeys(found))


def _rows(text: str, path: Path, conditions: str) -> Side:
    """Return the rows of a grid's table at a place on its axes.

    Raises:
        UserError: The file is no such table, or the rows are none, or differ in more than their seed.
    """
    if not path.is_file():
        raise UserError(f"there is no table {path}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    if _END_OF_AXES not in columns or "miou" not in columns:
        raise UserError(f"{path} is not the table of a grid: it has no columns {_END_OF_AXES} and miou")
    axes = columns[: columns.index(_END_OF_AXES)]
    for condition in filter(None, conditions.split(",")):
        axis, _, value = condition.partition("=")
        if axis not in axes:
            raise UserError(f"{path} has no axis {axis!r}, only {', '.join(axes)}: write {path}:AXIS=VALUE")
        rows = [row for row in rows if row[axis] == value]
        if not rows:
            raise UserError(f"no row of {path} has {condition}")
    varying = [axis for axis in axes if axis != _SEED and len({row[axis] for row in rows}) > 1]
    if varying:
        raise UserError(f"the rows of {text} differ in {' and '.join(varying)}: choose by {path}:{varying[0]}=VALUE")
    scores = [_row_scores(row) for row in rows]
    classes = [name for name in scores[0] if name]
    where = {key: rows[0][key] for key in (_END_OF_AXES, "images") if key in columns}
    values = np.array([[one.get(name, np.nan) for name in [*classes, ""]] for one in scores])
    return Side(text, [row.get(_SEED, str(number)) for number, row in enumerate(rows)], classes, values, where)


def _row_scores(row: Mapping[str, str]) -> dict[str, float]:
    """Return the IoU by class, and under an empty name the mean, of a row of a grid's table, in 0..1."""
    found: dict[str, float] = {}
    for part in filter(None, row.get("iou", "").split("; ")):
        name, _, value = part.rpartition(" ")
        found[name] = np.nan if value == "-" else float(value) / 100
    return {**found, "": float(row["miou"]) / 100}
