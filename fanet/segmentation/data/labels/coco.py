"""COCO annotations: objects as polygons or run lengths in a JSON file, drawn into label maps."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.dataset import UnknownLabelError
from fanet.segmentation.data.labels.base import LabelReader
from fanet.segmentation.data.labels.polygons import polygon_mask

_BACKGROUND = "background"


class CocoLabels(LabelReader, kind="coco"):
    """The label maps that an annotation file describes.

    Categories become the classes of the same name. Objects are drawn in the order of the file, so later ones cover
    earlier ones; pixels of no object are `background` if there is such a class, and ignored otherwise. Objects are
    lists of polygons, or uncompressed run lengths (`counts` as a list of numbers).
    """

    place = "annotations"

    def __init__(
        self, root: Path, place: str, images: Mapping[str, str], classes: ClassScheme, options: Mapping[str, Any]
    ) -> None:
        super().__init__(root, place, images, classes, options)
        path = root / place
        self.path = str(path)
        try:
            content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
            names = {category["id"]: category["name"] for category in content["categories"]}
            self._images = {image["file_name"]: image for image in content["images"]}
            if len(self._images) < len(content["images"]):
                raise UserError(f"{path} lists {len(content['images'])} images under {len(self._images)} names")
            self._objects: dict[Any, list[tuple[int, Any]]] = {image["id"]: [] for image in content["images"]}
            indices = self._indices(names, {annotation["category_id"] for annotation in content["annotations"]})
            for annotation in content["annotations"]:
                index = indices[annotation["category_id"]]
                if not annotation.get("segmentation"):
                    raise UserError(f"{path}, annotation {annotation.get('id')}: it has no `segmentation`")
                self._objects[annotation["image_id"]].append((index, annotation["segmentation"]))
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{path} is not valid JSON: {error}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is not in COCO's format: images, categories and annotations ({error!r})"
            ) from error
        self.files = {Path(name).with_suffix("").as_posix(): name for name in self._images}

    def labels(self, file: str, image: str) -> np.ndarray:
        listed = self._images[file]
        try:
            height, width = int(listed["height"]), int(listed["width"])
            if min(height, width) < 1:
                raise ValueError(f"size {width}x{height}")
            empty = self.classes.names.index(_BACKGROUND) if _BACKGROUND in self.classes.names else None
            labels = np.full((height, width), self.classes.ignore_index if empty is None else empty, dtype=np.uint8)
            for index, outline in self._objects[listed["id"]]:
                _draw(labels, outline, index)
        except UserError as error:
            raise UserError(f"{self.path}, {file}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path}, {file}: not in COCO's format ({error!r})") from error
        return labels

    def _indices(self, names: Mapping[Any, str], used: set) -> dict[Any, int]:
        unknown = sorted(names.get(category, f"id {category}") for category in used)
        unknown = [name for name in unknown if name not in self.classes.names]
        if unknown:
            raise UnknownLabelError(self.path, unknown, ", ".join(self.classes.names))
        return {category: self.classes.names.index(names[category]) for category in used}


def _draw(labels: np.ndarray, outline: Any, index: int) -> None:
    """Draw one object into a label map, in place."""
    height, width = labels.shape
    if isinstance(outline, Mapping):
        if not isinstance(outline["counts"], Sequence) or isinstance(outline["counts"], str):
            raise UserError("compressed run lengths cannot be read: decode them with pycocotools, or use PNG masks")
        labels[_runs(outline["counts"], outline["size"], height, width)] = index
        return
    for polygon in outline:
        rows, columns, inside = polygon_mask(polygon, height, width)
        labels[rows, columns][inside] = index


def _runs(counts: Sequence[int], size: Sequence[int], height: int, width: int) -> np.ndarray:
    """Decode lengths of runs down the columns, the first run outside the object, to an (H, W) bool mask."""
    if tuple(size) != (height, width) or sum(counts) != height * width:
        raise UserError(f"run lengths for {sum(counts)} pixels in an image of {width}x{height}")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T
