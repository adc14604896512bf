"""Objects as annotations that label tools import: COCO, YOLO and labelme.

Objects are polygons. None of the three formats has holes: each hole is joined with the outline around it by a line
there and back, so that the polygon covers the same pixels.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import yaml

from fanet.classes import ClassScheme
from fanet.errors import UserError, printable_line
from fanet.files import atomic_path, make_folder
from fanet.segmentation.prediction.objects import SegmentedObject
from fanet.segmentation.prediction.outlines import one_ring

#: Below the output folder.
COCO_FILE, YOLO_FOLDER, LABELME_FOLDER = Path("coco.json"), Path("yolo"), Path("labelme")
YOLO_NAMES, YOLO_LIST = YOLO_FOLDER / "data.yaml", YOLO_FOLDER / "train.txt"
_YOLO_IMAGES, _YOLO_LABELS = Path("images", "train"), Path("labels", "train")
#: By format: the files of all images, and what names the one of each.
_SHARED = {"coco": (COCO_FILE,), "yolo": (YOLO_NAMES, YOLO_LIST), "labelme": ()}
_OWN: dict[str, Callable[[Path], Path]] = {
    "yolo": lambda name: YOLO_FOLDER / _YOLO_LABELS / name.with_name(f"{name.name}.txt"),
    "labelme": lambda name: LABELME_FOLDER / name.with_name(f"{name.name}.json"),
}

_LABELME_VERSION = "5.0.0"  # the first with today's keys


class Annotations(Protocol):
    """Annotations that are being written; `write_annotations` yields some."""

    def add(self, source: Path, name: Path, size: tuple[int, int], objects: Sequence[SegmentedObject]) -> None:
        """Append the objects of an image.

        Args:
            source: The image.
            name: Path of its results below the output folder, without what results end with.
            size: Its height and width.
            objects: What was found in it.
        """


def shared_files(formats: Sequence[str]) -> list[Path]:
    """Return the files, below the output folder, that are of all images."""
    return [file for form in formats for file in _SHARED[form]]


def own_files(formats: Sequence[str], name: Path) -> list[Path]:
    """Return the files, below the output folder, that are of one image alone; `name` is that of its results."""
    return [_OWN[form](name) for form in formats if form in _OWN]


def check_stems(formats: Sequence[str], images: Iterable[tuple[Path, Path]]) -> None:
    """Check that label tools will find the annotations of each image: readers of YOLO look for its stem.

    Args:
        formats: As for `shared_files`.
        images: Each image, and the path of its results below the output folder, without what results end with.

    Raises:
        UserError: YOLO is among the formats, and two images of a folder differ in their suffix only.
    """
    if "yolo" not in formats:
        return
    known: dict[Path, Path] = {}
    for source, name in images:
        other = known.setdefault(_image_name(source, name).with_suffix(""), source)
        if other != source:
            raise UserError(
                f"{printable_line(other)} and {printable_line(source)} differ in their suffix only, and YOLO's label "
                "files are found by the name without it: rename one, or choose coco or labelme for --annotations"
            )


@contextmanager
def write_annotations(form: str, output: Path, classes: ClassScheme, tolerance: float = 0.0) -> Iterator[Annotations]:
    """Write annotations below a folder. What is of all images appears when the block succeeds.

    Args:
        form: `coco`, `yolo` or `labelme`.
        output: The folder.
        classes: The classes; those that can be objects get ids, in their order.
        tolerance: As for `SegmentedObject.outline`.
    """
    ids = {name: number for number, name in enumerate(names_of_objects(classes))}
    if form == "coco":
        with _open(output / COCO_FILE) as file:
            coco = _Coco(file, {name: 1 + number for name, number in ids.items()}, tolerance)  # 0 confuses some tools
            yield coco
            coco.finish()
    elif form == "yolo":
        with _open(output / YOLO_LIST) as file:
            yield _Yolo(file, output, ids, tolerance)
        with _open(output / YOLO_NAMES) as file:
            names = {number: name for name, number in ids.items()}
            # without `path`, places are relative to this file
            yaml.safe_dump({"train": YOLO_LIST.name, "names": names}, file, allow_unicode=True)
    else:
        yield _Labelme(output, tolerance)


def names_of_objects(classes: ClassScheme) -> list[str]:
    """Return the names of the classes that objects can have: all but the background."""
    left_out = (classes.background, classes.ignore_index)
    return [name for index, name in enumerate(classes.names) if index not in left_out]


class _Coco:
    """One JSON file, into which annotations go as they come, so that they take no memory."""

    def __init__(self, file: TextIO, ids: Mapping[str, int], tolerance: float) -> None:
        self._file, self._ids, self._tolerance = file, ids, tolerance
        self._images: list[dict[str, object]] = []
        self._count = 0
        file.write('{"annotations": [')

    def add(self, source: Path, name: Path, size: tuple[int, int], objects: Sequence[SegmentedObject]) -> None:
        image = len(self._images) + 1
        file_name = _image_name(source, name).as_posix()
        self._images.append({"id": image, "file_name": file_name, "height": size[0], "width": size[1]})
        for entry in objects:
            annotation = {
                "id": self._count + 1,
                "image_id": image,
                "category_id": self._ids[entry.name],
                "segmentation": [one_ring(entry.outline(self._tolerance)).ravel().tolist()],
                "area": entry.area,
                "bbox": entry.box,
                "iscrowd": 0,
            }
            if entry.probability is not None:
                annotation["score"] = round(entry.probability, 4)
            self._file.write((",\n" if self._count else "\n") + json.dumps(annotation))
            self._count += 1

    def finish(self) -> None:
        """Write what only the end knows."""
        categories = [{"id": number, "name": name} for name, number in self._ids.items()]
        self._file.write(f'],\n"images": {json.dumps(self._images)},\n"categories": {json.dumps(categories)}}}\n')


class _Yolo:
    """A text file for each image, in the folders that Ultralytics and CVAT expect beside those of the images."""

    def __init__(self, file: TextIO, output: Path, ids: Mapping[str, int], tolerance: float) -> None:
        self._list, self._output, self._ids, self._tolerance = file, output, ids, tolerance

    def add(self, source: Path, name: Path, size: tuple[int, int], objects: Sequence[SegmentedObject]) -> None:
        with _open(self._output / _OWN["yolo"](name)) as file:
            for entry in objects:
                shares = one_ring(entry.outline(self._tolerance)) / size[::-1]
                file.write(" ".join([str(self._ids[entry.name]), *(f"{value:.6g}" for value in shares.flat)]) + "\n")
        # Ultralytics takes `./` for the folder of the list, and other paths for relative to where it runs
        self._list.write(f"./{(_YOLO_IMAGES / _image_name(source, name)).as_posix()}\n")


class _Labelme:
    """A JSON file for each image, which names it by the path that leads there."""

    def __init__(self, output: Path, tolerance: float) -> None:
        self._output, self._tolerance = output, tolerance

    def add(self, source: Path, name: Path, size: tuple[int, int], objects: Sequence[SegmentedObject]) -> None:
        shapes = [
            {
                "label": entry.name,
                "points": one_ring(entry.outline(self._tolerance)).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
            }
            for entry in objects
        ]
        path = self._output / _OWN["labelme"](name)
        content: dict[str, Any] = {
            "version": _LABELME_VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": _path_between(path.parent, source),
            "imageData": None,
            "imageHeight": size[0],
            "imageWidth": size[1],
        }
        with _open(path) as file:
            json.dump(content, file)


def _image_name(source: Path, name: Path) -> Path:
    """Return the path of an image below the folder of all images, as that of its results below theirs."""
    return name if name.name == source.name else name.with_name(name.name + source.suffix)


def _path_between(folder: Path, file: Path) -> str:
    """Return the path that leads from a folder to a file, absolute if they are on different drives."""
    try:
        return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return file.absolute().as_posix()


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    make_folder(path.parent)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape") as file:
        yield file
