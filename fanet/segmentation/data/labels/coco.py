"""COCO annotations: objects as polygons or run lengths in a JSON file, drawn into label maps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line
from fanet.media.size import read_size
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.documents import read_json
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.names import match_names
from fanet.segmentation.data.labels.outlines import (
    Tally,
    absent_classes,
    classes_of,
    draw_polygons,
    empty_map,
    entries,
    is_beyond,
    is_drawable,
    is_invisible,
    is_outside,
    map_of_stated_size,
    outside_note,
    polygons_of,
    repeated_names,
    side_of,
    text_of,
    without_objects,
)
from fanet.segmentation.data.labels.runs import is_empty, run_mask

# What is kept of an annotation.
_NEEDED = ("id", "image_id", "category_id", "segmentation", "segments_info", "keypoints", "caption", "score")
# What an annotation without an outline has instead, and what to call it.
_INSTEAD = {"keypoints": "keypoints", "bbox": "boxes"}

#: Polygons, run lengths, or what is wrong with an outline.
_Outline = list[np.ndarray] | Mapping[str, Any] | UserError


class CocoLabels(LabelReader, kind="coco"):
    """The label maps that an annotation file describes.

    Categories become the classes of the same name. Objects, crowds among them, are drawn in the order of the file, so
    later ones cover earlier ones; pixels of no object are the background if a class is that, and ignored otherwise.
    Outlines are lists of polygons, or run lengths, compressed or not. Objects without an outline are left out. An entry
    means the image that has the longest end of its path in common with the `file_name`.
    """

    place = "annotations"

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        self.path = str(root / place)
        content = read_json(root / place, _lean)
        annotations = _annotations(content, self.path)
        self._sizes, names = _listed(content, self.path)
        found, partly = match_names(list(names.values()), images, root, self.path)
        if images and names and not found:
            raise UserError(
                f"{self.path} lists none of the split's {len(images)} images: the end of a file_name, there "
                f"{shortened(list(names.values())[:1])}, must be the end of an image's path, here "
                f"{shortened(list(images.values())[:1])}"
            )
        listed = {name: key for key, name in names.items()}
        used = set(found.values())
        self.files = found | {f"{self.path}: {name}": name for name in names.values() if name not in used}
        self._objects: dict[str, list[tuple[int, _Outline]]] = {name: [] for name in listed}
        tally = Tally()
        categories = _categories(content, self.path)
        self._sort(annotations, names, categories, tally)
        for name in found.values():
            if not self._objects[name]:
                tally.add("without objects", name, "image", without_objects(classes))
        self.notes = [*tally.notes(), *absent_classes(categories.values(), classes, "no category")]
        self.notes += repeated_names(list(categories.values()), "categories") + (
            outside_note(classes) if images else []
        )
        if unlisted := [path for name, path in images.items() if name not in found]:
            self.notes.append(
                f"{len(unlisted)} images are in no file_name of {self.path}: {shortened(unlisted)}; "
                "the end of a file_name must be the end of the image's path"
            )
        if partly:
            self.notes.append(
                f"{len(partly)} images are matched by the end of their file_name only: {shortened(partly)}"
            )

    def _sort(
        self,
        annotations: list[dict[str, Any]],
        names: Mapping[Any, str],
        categories: Mapping[Any, str],
        tally: Tally,
    ) -> None:
        """Give every image its objects, in the order of the file."""
        used = {_key(annotation.get("category_id")) for annotation in annotations}
        unknown = {key: f"id {text_of(key)}" for key in used if key not in categories}
        named = {key: categories[key] for key in used if key in categories} | unknown
        indices = classes_of(named.values(), self.classes, self.path)
        drawable, farthest = 0, 0.0
        for number, annotation in enumerate(annotations):
            called = f"annotation {text_of(annotation.get('id', number))}"
            image = names.get(_key(annotation.get("image_id")))
            if image is None:
                tally.add(f"of images that {self.path} does not list", called)
                continue
            outline = annotation.get("segmentation")
            if isinstance(outline, UserError):
                outline = UserError(f"{called}: {outline}")
            elif not isinstance(outline, Mapping):
                farthest = max([farthest, *(polygon.max() for polygon in outline or () if polygon.size)])
                outline = self._drawable(outline or [], image, called, tally)
            elif outline.get("counts") in (None, [], ""):
                outline = None
                tally.add("without an outline", called)
            elif is_empty(outline):
                outline = None
                tally.add("too small to cover a pixel", called)
            if outline is not None:
                drawable += 1
                index = indices[named[_key(annotation.get("category_id"))]]
                self._objects[image].append((index, outline))
        if 0 < farthest <= 1:
            raise UserError(
                f"{self.path}: no coordinate of its outlines is above 1: they must be in pixels, so multiply shares "
                "by the width and height of the image"
            )
        if annotations and not drawable:
            kinds = [what for key, what in _INSTEAD.items() if any(key in annotation for annotation in annotations)]
            reasons = [*([f"it holds {' and '.join(kinds)}"] if kinds else []), *tally.notes()]
            raise UserError(
                f"{self.path}: none of its {len(annotations)} objects can be drawn ({'; '.join(reasons)}): "
                "export `segmentation` as polygons or run lengths"
            )

    def _drawable(self, polygons: list[np.ndarray], image: str, called: str, tally: Tally) -> list[np.ndarray] | None:
        """Return the polygons of an object that can be drawn; None, and count it, if there are none."""
        polygons = [polygon for polygon in polygons if polygon.size]
        whole = [polygon for polygon in polygons if is_drawable(polygon)]
        if not polygons:
            tally.add("without an outline", called)
        for _ in range(len(polygons) - len(whole)):
            tally.add("of fewer than three corners", called, "polygon")
        size = self._sizes[image]
        if whole and size:
            if is_outside(whole, *size):
                tally.add("outside their image", called)
                return None
            if is_invisible(whole, *size):
                tally.add("too small to cover a pixel", called)
                return None
            if is_beyond(whole, *size):
                tally.add("reaching beyond the image", called, action="cut at the border")
        return whole or None

    def labels(self, file: str, image: str) -> np.ndarray:
        size, stated = read_size(image), self._sizes[file]
        try:
            if stated and stated != size:
                return map_of_stated_size(*stated, self.classes)
            labels = empty_map(size, self.classes)
            for index, outline in self._objects[file]:
                if isinstance(outline, UserError):
                    raise outline
                if isinstance(outline, Mapping):
                    labels[run_mask(outline, *size)] = index
                else:
                    draw_polygons(labels, outline, index)
        except UserError as error:
            raise UserError(f"{self.path}, {file}: {one_line(error)}") from error
        return labels


def _lean(entry: dict[str, Any]) -> dict[str, Any]:
    """Keep only what is needed of an annotation, its polygons as arrays, while the rest of the file is read."""
    if "image_id" not in entry:
        return entry
    lean = {key: entry[key] for key in _NEEDED if key in entry} | ({"bbox": True} if "bbox" in entry else {})
    outline = lean.get("segmentation")
    if outline and not isinstance(outline, Mapping):
        try:
            lean["segmentation"] = polygons_of(outline)
        except UserError as error:
            lean["segmentation"] = error
    return lean


def _annotations(content: Any, path: str) -> list[dict[str, Any]]:
    if isinstance(content, list):
        is_result = any(isinstance(entry, Mapping) and "score" in entry for entry in content[:1])
        what = "a list, as detectors write their results" if is_result else "a list"
        raise UserError(f"{path} is {what}, not COCO's annotations: those have `images`, `categories`, `annotations`")
    if not isinstance(content, Mapping):
        raise UserError(f"{path} is not in COCO's format, which has images, categories and annotations")
    if "shapes" in content:
        raise UserError(f"{path} is a file of labelme: write mask_kind: labelme, and the folder as annotations")
    missing = [key for key in ("images", "categories", "annotations") if key not in content]
    if missing:
        raise UserError(
            f"{path} is not in COCO's format, which has images, categories and annotations: "
            f"it has no {' and no '.join(missing)}"
        )
    annotations = entries(content, "annotations", path)
    if any("segments_info" in annotation for annotation in annotations):
        raise UserError(
            f"{path} is COCO's panoptic format (segments_info), whose outlines are in PNG files: "
            "convert them to masks of class indices, for mask_kind: index"
        )
    for number, annotation in enumerate(annotations):
        if _key(annotation.get("category_id")) is None:
            called = f"annotation {text_of(annotation.get('id', number))}"
            holds = ", it holds a caption" if "caption" in annotation else ""
            raise UserError(f"{path}: {called} has no category_id that is a number{holds}")
    return annotations


def _listed(content: Mapping[str, Any], path: str) -> tuple[dict[str, tuple[int, int] | None], dict[Any, str]]:
    """Return the size of each listed image if it is stated, by its file_name, and the file_name by its id."""
    sizes: dict[str, tuple[int, int] | None] = {}
    names: dict[Any, str] = {}
    images = entries(content, "images", path)
    for image in images:
        name, key = image.get("file_name"), _key(image.get("id"))
        if not isinstance(name, str) or not name or key is None:
            raise UserError(
                f"{path} is not in COCO's format: an image must have an id and a file_name, got {_keys(image)}"
            )
        if key in names:
            raise UserError(f"{path}: two images have the id {text_of(key)}: {names[key]} and {name}")
        names[key] = name
        height, width = (_side(image.get(side), name, path) for side in ("height", "width"))
        sizes[name] = (height, width) if height and width else None
    if len(sizes) < len(images):
        raise UserError(
            f"{path} lists {len(images)} images under {len(sizes)} names: keep one entry for each file_name"
        )
    return sizes, names


def _side(value: Any, name: str, path: str) -> int | None:
    if value is not None and side_of(value) is None:
        raise UserError(f"{path}, {name}: width and height must be whole numbers above 0, got {text_of(value)}")
    return side_of(value)


def _categories(content: Mapping[str, Any], path: str) -> dict[Any, str]:
    """Return the names of the categories by their ids."""
    categories: dict[Any, str] = {}
    for category in entries(content, "categories", path):
        key, name = _key(category.get("id")), category.get("name")
        if key is not None and isinstance(name, int | float):
            raise UserError(f"{path}: the category with the id {text_of(key)} must have a text as its name, got {name}")
        if key is None or not isinstance(name, str):
            raise UserError(f"{path} is not in COCO's format: a category must have id and name, got {_keys(category)}")
        if categories.get(key, name) != name:
            raise UserError(f"{path}: two categories have the id {text_of(key)}: {categories[key]} and {name}")
        categories[key] = name
    return categories


def _key(value: Any) -> Any:
    """Return an id so that 7, 7.0 and "7" are the same one; None if it can be no id."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return value if type(value) in (int, str) or (type(value) is float and value.is_integer()) else None


def _keys(entry: Mapping[str, Any]) -> str:
    return f"the keys {shortened(list(map(text_of, entry)))}" if entry else "nothing"
