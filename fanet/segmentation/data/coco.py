"""COCO annotations: objects as polygons or run lengths in a JSON file, drawn into label maps."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.dataset import UnknownLabelError

_BACKGROUND = "background"


class CocoMasks:
    """The label maps that an annotation file describes.

    Categories become the classes of the same name. Objects are drawn in the order of the file, so later ones cover
    earlier ones; pixels of no object are `background` if there is such a class, and ignored otherwise. Objects are
    lists of polygons, or uncompressed run lengths (`counts` as a list of numbers).

    Attributes:
        names: The file names of the images, as the annotation file lists them.
    """

    def __init__(self, path: str | Path, classes: ClassScheme) -> None:
        """Read the file.

        Raises:
            UserError: The file is missing or not in COCO's format.
            UnknownLabelError: An object's category is not a class.
        """
        self.path, self.classes = str(path), classes
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
        self.names = list(self._images)

    def labels(self, name: str) -> np.ndarray:
        """Return the label map of an image, (H, W) uint8.

        Raises:
            UserError: The size of the image or the outline of an object is not in COCO's format.
        """
        image = self._images[name]
        try:
            height, width = int(image["height"]), int(image["width"])
            if min(height, width) < 1:
                raise ValueError(f"size {width}x{height}")
            empty = self.classes.names.index(_BACKGROUND) if _BACKGROUND in self.classes.names else None
            labels = np.full((height, width), self.classes.ignore_index if empty is None else empty, dtype=np.uint8)
            for index, outline in self._objects[image["id"]]:
                _draw(labels, outline, index)
        except UserError as error:
            raise UserError(f"{self.path}, {name}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.path}, {name}: not in COCO's format ({error!r})") from error
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


def polygon_mask(polygon: Sequence[float], height: int, width: int) -> tuple[slice, slice, np.ndarray]:
    """Find the pixels whose centres are inside a polygon, by the even-odd rule.

    Args:
        polygon: Coordinates x, y of its corners in turn, in pixels from the upper left corner of the image, so the
            centre of the first pixel is (0.5, 0.5). Corners may be outside the image.
        height: Height of the image.
        width: Width of the image.

    Returns:
        The rows and the columns of the polygon's bounding box in the image, and for the pixels of that box, (h, w)
        bool, whether they are inside the polygon.

    Raises:
        UserError: The polygon has fewer than three corners or an odd number of coordinates.
    """
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or not np.isfinite(corners).all():
        raise UserError("a polygon must be a list of x, y, x, y, … of at least three corners")
    x, y = corners.reshape(-1, 2).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    top, bottom = _reach(y, height)
    left, right = _reach(x, width)
    centres = np.arange(top, bottom)[:, None] + 0.5
    # Every edge that crosses the line through a row's centres flips inside and outside right of the crossing.
    rows, edges = np.nonzero((y <= centres) != (next_y <= centres))
    slope = (next_x - x)[edges] / (next_y - y)[edges]
    crossings = x[edges] + slope * (centres[rows, 0] - y[edges])
    columns = np.clip(np.ceil(crossings - 0.5), left, right).astype(np.int64) - left
    flips = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    np.add.at(flips, (rows, columns), 1)
    return slice(top, bottom), slice(left, right), np.cumsum(flips, axis=1)[:, :-1] % 2 == 1


def _reach(corners: np.ndarray, side: int) -> tuple[int, int]:
    """Return the first pixel along a side that a polygon can cover, and the one after the last."""
    return int(np.clip(np.floor(corners.min()), 0, side)), int(np.clip(np.ceil(corners.max()), 0, side))
