"""Small data sets in every form of labels, for tests."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

CLASSES = ["background", "bottle", "can"]
HEIGHT, WIDTH = 6, 8

#: A rectangle of each class; the second covers a part of the first.
BOTTLE, CAN = [1, 1, 6, 1, 6, 4, 1, 4], [4, 2, 8, 2, 8, 5, 4, 5]


def expected() -> np.ndarray:
    """The labels of the two rectangles."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[1:4, 1:6] = 1
    labels[2:5, 4:8] = 2
    return labels


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Write an image of noise that differs from file to file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(path.as_posix().encode()))
    Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8)).save(path)
    return path


def describe(root: Path, kind: str, place: str, images: str = "images", **keys: Any) -> Path:
    """Write the `dataset.yaml` of a data set with one split, `all`."""
    place_key = "masks" if kind in ("index", "colour") else "annotations"
    splits = {"all": {"images": images, place_key: place}}
    content = {"classes": CLASSES, "mask_kind": kind, "splits": splits} | keys
    (root / "dataset.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return root


def png(array: np.ndarray) -> str:
    """Return a PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def coco(*objects: Mapping[str, Any], files: tuple[str, ...] = ("a.png",), **keys: Any) -> dict[str, Any]:
    """Return annotations; without objects, of the two rectangles in the first image."""
    objects = objects or ({"category_id": 7, "segmentation": [BOTTLE]}, {"category_id": 3, "segmentation": [CAN]})
    return {
        "images": [{"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH} for i, name in enumerate(files)],
        "categories": [{"id": 7, "name": "bottle"}, {"id": 3, "name": "can"}],
        "annotations": [{"id": i, "image_id": 0, "category_id": 7} | dict(each) for i, each in enumerate(objects)],
    } | keys


def yolo(*lines: tuple[int, list[float]]) -> str:
    """Return lines of class and corners in pixels, as shares of the image's size."""
    return "".join(
        f"{key} {' '.join(f'{value / (WIDTH, HEIGHT)[i % 2]:.6f}' for i, value in enumerate(corners))}\n"
        for key, corners in lines
    )


def labelme(*shapes: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """Return a file of labelme; without shapes, of the two rectangles."""
    shapes = shapes or ({"points": pairs(BOTTLE)}, {"label": "can", "points": pairs(CAN)})
    return {
        "version": "5.5.0",
        "shapes": [{"label": "bottle", "shape_type": "polygon", "group_id": None} | dict(each) for each in shapes],
        "imagePath": "a.png",
        "imageData": png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)),
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    } | keys


def pairs(corners: list[float]) -> list[list[float]]:
    """[x, y, x, y, …] -> [[x, y], [x, y], …]"""
    return np.reshape(corners, (-1, 2)).tolist()


def write_form(root: Path, kind: str) -> Path:
    """Write a data set of two images in which the two rectangles are labelled in the first one, in any form."""
    for name in ("a.png", "sub/b.png"):
        write_image(root / "images" / name)
    folder = root / "labels"
    (folder / "sub").mkdir(parents=True)
    maps = {"a": expected(), "sub/b": np.zeros((HEIGHT, WIDTH), np.uint8)}
    if kind == "coco":
        (root / "objects.json").write_text(json.dumps(coco(files=("a.png", "sub/b.png"))))
        return describe(root, kind, "objects.json", "images/**/*.png")
    palette = np.array([[0, 0, 0], [230, 5, 5], [4, 200, 3]], np.uint8)
    for name, labels in maps.items():
        if kind in ("index", "colour"):
            Image.fromarray(labels if kind == "index" else palette[labels]).save(folder / f"{name}.png")
        elif kind == "yolo":
            (folder / f"{name}.txt").write_text(yolo((0, BOTTLE), (1, CAN)) if labels.any() else "")
        else:
            content = labelme() if labels.any() else labelme(imagePath="b.png") | {"shapes": []}
            (folder / f"{name}.json").write_text(json.dumps(content))
    place = "labels/**/*.png" if kind in ("index", "colour") else "labels"
    keys = {"palette": palette.tolist()} if kind == "colour" else {}
    if kind == "yolo":
        (root / "data.yaml").write_text("names: [bottle, can]\nnc: 2\n")
    return describe(root, kind, place, "images/**/*.png", **keys)
