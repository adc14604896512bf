"""labelme's annotations: a JSON file for each image with polygons, rectangles, circles and masks."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
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
    is_drawable,
    is_outside,
    map_of_stated_size,
    outside_note,
    polygons_of,
    text_of,
)

# Shapes without an area.
_FLAT = ("line", "linestrip", "point", "points")


@dataclass(frozen=True)
class _Shape:
    """One object: `points` (N, 2) in pixels; `mask`, for the kind `mask`, the contents of a PNG."""

    label: str
    kind: str
    points: np.ndarray
    mask: bytes = b""


@dataclass(frozen=True)
class _File:
    """What is kept of an annotation file: `size` is height and width if stated, `fault` what is wrong with it."""

    shapes: Sequence[_Shape] = ()
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

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        found, others, partly = find_annotations(root, place, images, ".json")
        tally = Tally()
        self._contents = {path: _read(Path(path), tally) for path in [*found.values(), *others]}
        found |= self._by_image_path(others, {name: path for name, path in images.items() if name not in found}, root)
        if images and not found:
            raise UserError(
                f"none of the split's {len(images)} images has a file in {root / place}: that of "
                f"{shortened(list(images.values())[:1])} would be called {next(iter(images))}.json"
            )
        used = set(found.values())
        self.files = found | {path: path for path in others if path not in used}
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
