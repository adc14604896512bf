"""labelme's annotations: a JSON file for each image with polygons, rectangles, circles and masks."""

import base64
import binascii
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line
from fanet.media.images import reading
from fanet.media.size import read_size
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.documents import read_json
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.names import match_names
from fanet.segmentation.data.labels.one_per_image import find_annotations
from fanet.segmentation.data.labels.outlines import (
    Tally,
    absent_classes,
    classes_of,
    draw_polygons,
    empty_map,
    entries,
    is_beyond,
    is_invisible,
    is_outside,
    map_of_stated_size,
    outside_note,
    polygons_of,
    side_of,
    text_of,
    without_objects,
)

# Shapes without an area.
_FLAT = ("line", "linestrip", "point", "points")
# The others, with the fewest points that they have; a `rotation` is a rectangle that is not upright.
_FEWEST = {"polygon": 3, "rectangle": 2, "rotation": 3, "circle": 2, "mask": 2}
_FARTHEST = 1e9  # pixels: coordinates beyond it are no image's


@dataclass(frozen=True)
class _Shape:
    """One object: `points` in pixels, (N, 2) float64; for the kind `mask`, `mask` is a PNG of the box of its points."""

    label: str
    kind: str
    points: np.ndarray
    mask: bytes = b""


@dataclass(frozen=True)
class _File:
    """What is kept of an annotation file.

    `size` is height and width if they are stated, `image` the `imagePath`, `left_out` shapes without an area, as kind
    and place, `cut` the places of shapes reaching beyond the image, `fault` what is wrong with the file.
    """

    shapes: Sequence[_Shape] = ()
    left_out: Sequence[tuple[str, str]] = ()
    cut: Sequence[str] = ()
    size: tuple[int, int] | None = None
    image: str = ""
    fault: str = ""


class LabelmeLabels(LabelReader, kind="labelme"):
    """The label maps that the JSON files of labelme describe.

    A file belongs to the image of its own name, otherwise to the one that its `imagePath` names. Labels become the
    classes of the same name; `__ignore__` stands for pixels that do not count. Shapes are drawn in the order of the
    file, so later ones cover earlier ones; pixels of no shape are the background if a class is that, and ignored
    otherwise. Lines and points have no area and are left out.
    """

    place = "annotations"
    beside = (".json",)

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        found, others, partly = find_annotations(root, place, images, ".json")
        self._contents = {path: _read(Path(path)) for path in [*found.values(), *others]}
        found |= self._by_image_path(others, {name: path for name, path in images.items() if name not in found}, root)
        if images and not found:
            raise UserError(
                f"none of the split's {len(images)} images has a file in {root / place}: that of "
                f"{shortened(list(images.values())[:1])} would be called {next(iter(images))}.json"
            )
        used = list(found.values())
        self.files = found | {path: path for path in others if path not in set(used)}
        tally = Tally()
        for kind, called in (entry for path in used for entry in self._contents[path].left_out):
            tally.add(kind, called, "shape")
        for called in (called for path in used for called in self._contents[path].cut):
            tally.add("reaching beyond the image", called, "shape", "cut at the border")
        for path in used:
            if not (self._contents[path].shapes or self._contents[path].fault):
                tally.add("without shapes", path, "image", without_objects(classes))
        for name, path in found.items():
            entry = self._contents[path].image
            if entry and not _is_of(entry, images[name]):
                tally.add("with another imagePath", f"{path}: {entry}", "file", "matched by its own name")
        shapes = [shape for path in used for shape in self._contents[path].shapes]
        self._indices = classes_of({shape.label for shape in shapes}, classes, str(root / place))
        self.notes = [*partly, *tally.notes(), *absent_classes(self._indices, classes, "no shape")]
        self.notes += outside_note(classes) if images else []

    def _by_image_path(self, paths: list[str], images: Mapping[str, str], root: Path) -> dict[str, str]:
        """Find the files of images whose name they do not have, by what they say themselves."""
        listed: dict[str, str] = {}
        for path in paths:
            if name := self._contents[path].image:
                if name in listed:
                    raise UserError(f"{listed[name]} and {path} both have the imagePath {name}: keep one of them")
                listed[name] = path
        matched, _ = match_names(list(listed), images, root, "imagePath")
        return {name: listed[entry] for name, entry in matched.items()}

    def labels(self, file: str, image: str) -> np.ndarray:
        content, size = self._contents[file], read_size(image)
        if content.fault:
            raise UserError(content.fault)
        if content.size and content.size != size:
            return map_of_stated_size(*content.size, self.classes)
        labels = empty_map(size, self.classes)
        for shape in content.shapes:
            try:
                _draw(labels, shape, self._indices[shape.label])
            except UserError as error:
                raise UserError(f"{file}, shape {shape.label}: {one_line(error)}") from error
        return labels


def _read(path: Path) -> _File:
    """Read one file; a mistake in it is kept, to be raised when it is needed."""
    try:
        content = read_json(path, _without_image)
        if not isinstance(content, dict) or "shapes" not in content:
            raise UserError(f"{path} is not a file of labelme: it has no `shapes`")
        shapes, left_out, cut, size = [], [], [], _size(content, path)
        for number, entry in enumerate(entries(content, "shapes", str(path))):
            called = f"{path}, shape {number}"
            shape = _shape(entry, called)
            if isinstance(shape, str):
                left_out.append((shape, called))
                continue
            around = [_around(shape)]
            if size and is_outside(around, *size):
                left_out.append(("outside its image", called))
            elif size and shape.kind != "mask" and is_invisible(around, *size):
                left_out.append(("too small to cover a pixel", called))
            else:
                shapes.append(shape)
                if size and shape.kind != "mask" and is_beyond(around, *size):
                    cut.append(called)
        return _File(shapes, left_out, cut, size, _image(content))
    except UserError as error:
        return _File(fault=str(error))


def _without_image(entry: dict[str, Any]) -> dict[str, Any]:
    """Drop the copy of the image that most files hold."""
    entry.pop("imageData", None)
    return entry


def _image(content: Mapping[str, Any]) -> str:
    name = content.get("imagePath")
    return name if isinstance(name, str) else ""


def _is_of(entry: str, image: str) -> bool:
    """Return whether an `imagePath` has the name of an image, whatever the folders and the suffix."""
    name = PurePosixPath(entry.replace("\\", "/")).stem
    return unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", Path(image).stem)


def _size(content: Mapping[str, Any], path: Path) -> tuple[int, int] | None:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None or width is None:
        return None
    sides = side_of(height), side_of(width)
    if sides[0] is None or sides[1] is None:
        raise UserError(
            f"{path}: imageHeight and imageWidth must be whole numbers above 0, "
            f"got {text_of(height)} and {text_of(width)}"
        )
    return sides[0], sides[1]


def _shape(entry: Mapping[str, Any], called: str) -> _Shape | str:
    """Return a shape, or why it is left out."""
    label, kind = entry.get("label"), entry.get("shape_type") or "polygon"
    if not isinstance(label, str) or not label.strip():
        raise UserError(f"{called}: its label must be text, got {text_of(label) or 'nothing'}")
    if kind not in (*_FLAT, *_FEWEST):
        raise UserError(f"{called}: the shape_type {text_of(kind)} is not known: known are {', '.join(_FEWEST)}")
    if kind in _FLAT:
        return f"without an area ({kind})"
    points = entry.get("points")
    if not points:
        return "without points"
    try:
        polygons = polygons_of([points])
    except UserError as error:
        raise UserError(f"{called}: {error}") from None
    corners = polygons[0].reshape(-1, 2)
    if len(corners) < _FEWEST[kind]:
        return f"of too few points ({kind})"
    if np.abs(corners).max() > _FARTHEST:
        raise UserError(f"{called}: its points must be in pixels, got {np.abs(corners).max():g}")
    return _Shape(label, kind, corners, _png(entry.get("mask"), called) if kind == "mask" else b"")


def _png(text: Any, called: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise UserError(f"{called}: its mask is not a PNG in base64") from None


def _draw(labels: np.ndarray, shape: _Shape, index: int) -> None:
    """Draw one shape into a label map, in place."""
    if shape.kind == "mask":
        low, high = shape.points.min(axis=0), shape.points.max(axis=0)
        _draw_mask(labels, shape.mask, low.astype(int), high.astype(int), index)
    elif shape.kind == "circle":
        _draw_circle(labels, shape.points, index)
    else:
        draw_polygons(labels, [_around(shape)], index)


def _around(shape: _Shape) -> np.ndarray:
    """Return the corners of a shape, x, y, x, y, …; of a circle or a mask those of the box around it."""
    points = shape.points
    if shape.kind == "circle":
        radius = np.hypot(*(points[1] - points[0]))
        points = np.array([points[0] - radius, points[0] + radius])
    if len(points) > 2:
        return points.ravel()
    low, high = points.min(axis=0), points.max(axis=0)  # opposite corners
    return np.array([*low, high[0], low[1], *high, low[0], high[1]])


def _draw_circle(labels: np.ndarray, points: np.ndarray, index: int) -> None:
    """Draw the circle around the first point that goes through the second."""
    (x, y), radius = points[0], np.hypot(*(points[1] - points[0]))
    height, width = labels.shape
    top, bottom = (int(np.clip(edge, 0, height)) for edge in (y - radius, y + radius + 1))
    left, right = (int(np.clip(edge, 0, width)) for edge in (x - radius, x + radius + 1))
    rows, columns = np.arange(top, bottom)[:, None] + 0.5, np.arange(left, right) + 0.5
    labels[top:bottom, left:right][(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = index


def _draw_mask(labels: np.ndarray, png: bytes, low: np.ndarray, high: np.ndarray, index: int) -> None:
    """Draw a mask whose first and last pixels are at the corners of its box."""
    with reading(png, "the mask") as image:
        size = np.array(image.size)
        # The size is compared before the mask is decoded: it could be of any size.
        if (np.abs(size - (high - low + 1)) > 1).any() or (size > np.array(labels.shape[::-1]) + 1).any():
            raise UserError(f"its mask has {size[0]}x{size[1]} pixels, which its points or the image do not fit")
        inside = np.asarray(image.convert("L")) > 0
    left, top = low
    inside = inside[max(-top, 0) :, max(-left, 0) :]
    part = labels[max(top, 0) :, max(left, 0) :][: inside.shape[0], : inside.shape[1]]
    part[inside[: part.shape[0], : part.shape[1]]] = index
