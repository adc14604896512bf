"""What the forms that describe objects by outlines have in common: classes by name, polygons, and what is left out."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fanet.classes import ClassScheme, background_of
from fanet.errors import UserError
from fanet.segmentation.data.dataset import UnknownLabelError, shortened
from fanet.segmentation.data.labels.polygons import polygon_mask

_FEWEST = 6  # coordinates: three corners
_ROUNDING = 1e-12  # of areas in shares of the image's
_WHOLE_LINE = 20  # class names that an error writes out, so that they can be copied


class Tally:
    """Counts what a reader leaves out or changes, by kind, with an example of each."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str], list[Any]] = {}

    def add(self, kind: str, example: str, noun: str = "object", action: str = "left out") -> None:
        """Count one more `noun` of a kind: `left out: 3 objects without an outline (annotation 5 and 2 more)`."""
        entry = self._found.setdefault((action, noun, kind), [0, example])
        entry[0] += 1

    def notes(self) -> list[str]:
        """Return a line for each kind."""
        return [
            f"{action}: {count} {noun}{'s' if count > 1 else ''} {kind} ({example}"
            f"{f' and {count - 1} more' if count > 1 else ''})"
            for (action, noun, kind), (count, example) in self._found.items()
        ]


def class_of(name: str, classes: ClassScheme) -> int | None:
    """Return the index of the class that a label's name means, or None.

    Names mean the class of the same name; any name for a background the class that is the background; `__ignore__` the
    ignored label.
    """
    name = unicodedata.normalize("NFC", name.strip())
    known = [unicodedata.normalize("NFC", known.strip()) for known in classes.names]
    if name in known:
        return known.index(name)
    if background_of([name]) is not None and (index := background_of(known)) is not None:
        return index
    return classes.ignore_index if name.strip("_").casefold() in ("ignore", "ignored") else None


def classes_of(names: Iterable[str], classes: ClassScheme, file: str) -> dict[str, int]:
    """Return the class that each name means, as `class_of`.

    Raises:
        UnknownLabelError: Some mean none; it says how to add them.
    """
    indices = {name: class_of(name, classes) for name in names}
    unknown = sorted(name for name, index in indices.items() if index is None)
    if unknown:
        known = ", ".join(classes.names)
        wanted = [*classes.names, *unknown]
        line = f"classes: [{', '.join(wanted)}]" if len(wanted) <= _WHOLE_LINE else "them in the list of classes"
        raise UnknownLabelError(file, unknown, f"{known}; to use all, write in dataset.yaml {line}")
    return {name: index for name, index in indices.items() if index is not None}


def absent_classes(found: Iterable[str], classes: ClassScheme, what: str) -> list[str]:
    """Return a line on the classes, other than the background, that no name means."""
    indices = {class_of(name, classes) for name in found}
    background = background_of(classes.names)
    absent = [name for index, name in enumerate(classes.names) if index not in indices and index != background]
    return [f"{what} is called {' or '.join(absent)}"] if absent else []


def outside_note(classes: ClassScheme) -> list[str]:
    """Return a line if pixels outside all objects belong to no class."""
    if background_of(classes.names) is not None:
        return []
    return [
        "no class is the background, so pixels outside all objects do not count: "
        "add a class `background` to dataset.yaml if they should"
    ]


def empty_map(size: tuple[int, int], classes: ClassScheme) -> np.ndarray:
    """Return the labels of an image without objects: background, or ignored where no class is that."""
    background = background_of(classes.names)
    return np.full(size, classes.ignore_index if background is None else background, dtype=np.uint8)


def map_of_stated_size(height: int, width: int, classes: ClassScheme) -> np.ndarray:
    """Return labels of a size that is not the image's, for comparison only: they take no memory.

    Raises:
        UserError: No image has such a size.
    """
    if not 0 < height < 2**31 or not 0 < width < 2**31:
        raise UserError(f"no image has {width}x{height} pixels")
    return np.broadcast_to(np.uint8(classes.ignore_index), (height, width))


def draw_polygons(labels: np.ndarray, polygons: Sequence[np.ndarray], index: int) -> None:
    """Draw the polygons of an object into a label map, in place."""
    for polygon in polygons:
        rows, columns, inside = polygon_mask(polygon, *labels.shape)
        labels[rows, columns][inside] = index


def polygons_of(outline: Any) -> list[np.ndarray]:
    """Return the polygons of an outline, each as x, y, x, y, … in float64.

    An outline is a list of polygons, or a single one; a polygon is a list of numbers, or of pairs of them.

    Raises:
        UserError: It is something else.
    """
    if not isinstance(outline, Sequence) or isinstance(outline, str):
        raise UserError("an outline must be a list of polygons")
    is_pair = [isinstance(part, Sequence) and len(part) == 2 and _is_numbers(part) for part in outline]
    if _is_numbers(outline) or (len(outline) > 2 and all(is_pair)):
        outline = [outline]
    return [_polygon(part) for part in outline]


def _polygon(part: Any) -> np.ndarray:
    try:
        corners = np.array(part, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        corners = None
    if corners is None or not (corners.ndim == 1 or (corners.ndim == 2 and corners.shape[1] == 2)):
        raise UserError("a polygon must be a list of numbers x, y, x, y, …")
    corners = corners.ravel()
    if corners.size % 2 or not np.isfinite(corners).all():
        raise UserError(f"a polygon must be a list of x, y, x, y, …, but one has {corners.size} numbers")
    return corners


def _is_numbers(part: Any) -> bool:
    return isinstance(part, Sequence) and bool(part) and all(type(x) in (int, float) for x in part)


def is_drawable(polygon: np.ndarray) -> bool:
    """Return whether a polygon has at least three corners."""
    return polygon.size >= _FEWEST


def is_outside(polygons: Sequence[np.ndarray], height: int, width: int) -> bool:
    """Return whether polygons have no point in common with an image."""
    if 0 < polygons[0][0] < width and 0 < polygons[0][1] < height:
        return False  # a corner is inside, as of nearly all polygons
    corners = np.concatenate(polygons).reshape(-1, 2)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    return bool(right <= 0 or bottom <= 0 or left >= width or top >= height)


def is_beyond(polygons: Sequence[np.ndarray], height: int, width: int) -> bool:
    """Return whether polygons reach more than a pixel beyond an image."""
    corners = np.concatenate(polygons)
    x, y = corners[::2], corners[1::2]
    return bool(min(x.min(), y.min()) < -1 or x.max() > width + 1 or y.max() > height + 1)


def is_invisible(polygons: Sequence[np.ndarray], height: int, width: int) -> bool:
    """Return whether polygons that are small, or lines, cover no centre of a pixel."""
    return all(_area(polygon) < 1 and not polygon_mask(polygon, height, width)[2].any() for polygon in polygons)


def is_line(polygon: np.ndarray) -> bool:
    """Return whether all corners of a polygon are on one line, up to rounding."""
    if _area(polygon) > _ROUNDING:
        return False
    rays = polygon.reshape(-1, 2) - polygon[:2]
    x, y = rays[np.argmax(np.abs(rays).sum(axis=1))]
    return bool((np.abs(rays[:, 0] * y - rays[:, 1] * x) <= _ROUNDING).all())


def _area(polygon: np.ndarray) -> float:
    """Return the area of a polygon; where it crosses itself, parts cancel out."""
    x, y = polygon[::2], polygon[1::2]
    return abs(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]) / 2


def without_objects(classes: ClassScheme) -> str:
    """Return what becomes of an image without objects, for a `Tally`."""
    return "not counted" if background_of(classes.names) is None else "taken as background only"


def side_of(value: Any) -> int | None:
    """Return a width or height as a file states it, 32, 32.0 or "32"; None if it can be none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 < value < 2**31 else None


def repeated_names(names: Sequence[str], what: str) -> list[str]:
    """Return a line on names that several ids have; `what` has the ids."""
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    return [f"several {what} have one name, and become one class: {shortened(repeated)}"] if repeated else []


def text_of(value: Any) -> str:
    """Return a value for a message."""
    text = value if isinstance(value, str) else repr(value) if isinstance(value, int | float) else type(value).__name__
    return text if len(text) < 60 else text[:59] + "…"


def entries(content: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]]:
    """Return a list of mappings in a JSON file.

    Raises:
        UserError: The file has something else there.
    """
    found = content.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise UserError(f"{path}: `{key}` must be a list of objects")
    return found
