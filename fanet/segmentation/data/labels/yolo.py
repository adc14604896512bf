"""YOLO's segmentation labels: a text file for each image, a line `class x1 y1 x2 y2 …` for each object."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme, background_of
from fanet.errors import UserError
from fanet.media.size import read_size
from fanet.segmentation.data.dataset import UnknownLabelError, shortened
from fanet.segmentation.data.documents import numbered_lines, read_text, read_yaml
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.one_per_image import find_annotations
from fanet.segmentation.data.labels.outlines import (
    Tally,
    absent_classes,
    classes_of,
    draw_polygons,
    empty_map,
    is_line,
    outside_note,
    repeated_names,
    without_objects,
)

# Files beside dataset.yaml, or with the labels, that name the classes, in the order in which they are looked for.
_NAMES_FILES = ("data.yaml", "data.yml", "classes.txt", "obj.names")
_BOX = 5  # numbers in the line of a box: class, centre, size
_FEWEST = 7  # numbers in the line of an outline: class and three corners
_FARTHEST = 0.5  # of the image's size, by which an outline may reach beyond it: what is farther are pixels

#: Objects as class and corners x, y, x, y, … in shares of the image's size, or what is wrong with a file.
_Objects = list[tuple[int, np.ndarray]] | UserError


class YoloLabels(LabelReader, kind="yolo"):
    """The label maps that text files of YOLO's segmentation format describe.

    Class ids are named by the `names` of a `data.yaml` beside `dataset.yaml`, or of the file in `names_file`, and
    become the classes of the same name. Without such a file they count the classes other than the background. Objects
    are drawn in the order of the file, so later ones cover earlier ones; pixels of no object are the background if a
    class is that, and ignored otherwise. An image without a text file has no objects. Boxes are left out.
    """

    place = "annotations"
    beside = (".txt",)
    options = ("names_file",)

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        found, others, partly = find_annotations(root, place, images, ".txt")
        names, source = _class_names(root, place, options.get("names_file"))
        others = [file for file in others if Path(file).name not in _NAMES_FILES]
        if images and not found:
            raise UserError(
                f"none of the split's {len(images)} images has a text file in {root / place}: that of "
                f"{shortened(list(images.values())[:1])} would be called {next(iter(images))}.txt"
            )
        self._indices = self._indices_of(names, source)
        tally = Tally()
        contents = {file: _read(Path(file), set(self._indices), source, tally) for file in found.values()}
        used = {key for objects in contents.values() if not isinstance(objects, UserError) for key, _ in objects}
        if names is not None:
            named = classes_of([names[key] for key in used], classes, source)
            self._indices = {key: named[names[key]] for key in used}
        self._objects = contents
        for name in images:
            if name not in found:
                tally.add("without a text file", name, "image", without_objects(classes))
            elif contents[found[name]] == []:
                tally.add("whose text file has no outline", name, "image", without_objects(classes))
        self.files = {name: "" for name in images} | found | {file: file for file in others}
        self.notes = [*partly, *tally.notes(), *(outside_note(classes) if images else [])]
        if names is None:
            ids = ", ".join(f"{key} is {classes.names[index]}" for key, index in self._indices.items())
            self.notes.append(f"there is no data.yaml that names the class ids, so {ids}")
        else:
            self.notes += absent_classes(names.values(), classes, f"no class in {source}")
            self.notes += repeated_names(list(names.values()), "class ids")

    def labels(self, file: str, image: str) -> np.ndarray:
        labels = empty_map(read_size(image), self.classes)
        objects = self._objects.get(file, [])
        if isinstance(objects, UserError):
            raise objects
        size = np.array(labels.shape[::-1])
        for key, corners in objects:
            draw_polygons(labels, [(corners.reshape(-1, 2) * size).ravel()], self._indices[key])
        return labels

    def _indices_of(self, names: Mapping[int, str] | None, source: str) -> dict[int, int]:
        """Return the ids that may occur; those without names with their classes, in the order of these."""
        if names is not None:
            return dict.fromkeys(names, 0)
        background = background_of(self.classes.names)
        indices = [index for index in range(len(self.classes)) if index != background]
        return dict(enumerate(indices))


def _read(path: Path, known: set[int], source: str, tally: Tally) -> _Objects:
    """Read the objects of one file; a mistake in it is returned, to be raised when it is needed."""
    objects = []
    try:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            called = f"{path}, line {number}"
            values = _numbers(line, called)
            if not values.size:
                continue
            if values.size == _BOX:
                tally.add("with a box instead of an outline", called)
                continue
            key = int(values[0])
            if key != values[0] or key not in known:
                ids = shortened([str(each) for each in sorted(known)])
                raise UnknownLabelError(called, [f"class id {values[0]:g}"], f"{ids}, which {source} names")
            corners = _corners(values, called)
            if is_line(corners):
                tally.add("too small to cover a pixel", called)
                continue
            if corners.min() < 0 or corners.max() > 1:
                tally.add("reaching beyond the image", called, action="cut at the border")
            objects.append((key, corners))
    except UserError as error:
        return error
    return objects


def _numbers(line: str, called: str) -> np.ndarray:
    try:
        values = np.array(line.split(), dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise UserError(f"{called}: expected numbers only, `class x1 y1 x2 y2 …`, got {line[:40]!r}")
    return values


def _corners(values: np.ndarray, called: str) -> np.ndarray:
    if values.size < _FEWEST or values.size % 2 == 0:
        raise UserError(
            f"{called}: expected `class x1 y1 x2 y2 …` with at least three corners, got {values.size} numbers"
        )
    corners = values[1:]
    if corners.min() < -_FARTHEST or corners.max() > 1 + _FARTHEST:
        value = corners.max() if corners.max() > 1 + _FARTHEST else corners.min()
        raise UserError(
            f"{called}: coordinates must be shares of the image's width and height, 0 to 1, got {value:g}: "
            "divide pixels by the size of the image"
        )
    return corners.copy()


def _class_names(root: Path, place: str, stated: Any) -> tuple[dict[int, str] | None, str]:
    """Return the name of each class id, and the file that has them; None without such a file."""
    if stated is not None and not isinstance(stated, str):
        raise UserError(f"{root / 'dataset.yaml'}: names_file must be the path of a file, got {stated!r:.40}")
    folders = [root] if "{name}" in place else [root, root / place]
    candidates = [root / stated] if stated else [folder / name for folder in folders for name in _NAMES_FILES]
    paths = [path for path in candidates if os.path.isfile(path)]
    if not paths:
        if stated:
            raise UserError(f"there is no file {candidates[0]}, the names_file of {root / 'dataset.yaml'}")
        return None, "the list of classes in dataset.yaml"
    names, *others = (_names_in(path) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        if other != names:
            raise UserError(
                f"{paths[0]} and {path} name the class ids differently: remove one of them, or write in dataset.yaml "
                f"names_file: {os.path.relpath(paths[0], root)}"
            )
    return names, str(paths[0])


def _names_in(path: Path) -> dict[int, str]:
    """Return the name of each class id in a file."""
    if path.suffix not in (".yaml", ".yml"):
        lines = [line for line in map(str.strip, read_text(path).splitlines()) if line]
        named = numbered_lines(lines) or dict(enumerate(lines))
        return dict(enumerate(named.values())) if list(named) == list(range(1, len(named) + 1)) else named
    content = read_yaml(path)
    if isinstance(content, dict) and "kpt_shape" in content:
        raise UserError(f"{path} describes keypoints (kpt_shape), not outlines: they cannot be drawn")
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(_is_id(key) and isinstance(name, str) for key, name in names.items()):
        raise UserError(f"{path}: names must be a list of class names, or a mapping from class id to name")
    count = content.get("nc", len(names))
    if count != len(names):
        raise UserError(f"{path}: nc is {count!r:.40}, but names has {len(names)} classes: correct one of them")
    return {int(key): name for key, name in names.items()}


def _is_id(key: Any) -> bool:
    return type(key) is int or (isinstance(key, str) and key.isascii() and key.isdigit())
