"""What outlines mean: the classes of COCO, labelme and YOLO."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fanet.classes import background_of
from fanet.errors import UserError
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.documents import read_json, read_text
from fanet.segmentation.data.survey.coco import categories_of
from fanet.segmentation.data.survey.meaning import Meaning, with_background
from fanet.segmentation.data.survey.names import Names

_BOX = 5  # numbers in YOLO's line of a box
_IGNORED = ("ignore", "ignored")


def of_categories(files: Sequence[str]) -> Meaning:
    """Return the meaning of COCO files: the categories that have objects."""
    used: dict[str, None] = {}
    unused: dict[str, None] = {}
    for file in files:
        names, others = categories_of(Path(file))
        used |= dict.fromkeys(names)
        unused |= dict.fromkeys(others)
    if not used:
        raise UserError(f"{files[0]} has no categories" if not unused else f"no category of {files[0]} has objects")
    absent = [name for name in unused if name not in used and background_of([name]) is None]
    notes = [f"left out: categories without objects, {shortened(absent)}"] if absent else []
    return Meaning("coco", with_background(list(used)), notes=[*notes, *_outside()])


def of_labels(files: Sequence[str], names: Names | None) -> Meaning:
    """Return the meaning of labelme's files: the labels in them, in the order of a file that names them."""
    used: dict[str, None] = {}
    for file in files:
        content = read_json(Path(file), _label_only)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        labels = [shape.get("label") for shape in shapes or () if isinstance(shape, dict)]
        empty = next((i for i, label in enumerate(labels, 1) if isinstance(label, str) and not label.strip()), None)
        if empty is not None:
            raise UserError(f"{file}: shape {empty} of {len(labels)} has an empty label: write its class, or delete it")
        used |= dict.fromkeys(label.strip() for label in labels if isinstance(label, str))
    found = sorted(name for name in used if name.strip("_").casefold() not in _IGNORED)
    named = dict.fromkeys(names.names) if names is not None else {}
    listed = [name for name in named if name in used or background_of([name]) is not None]
    classes = [*listed, *(name for name in found if name not in listed)]
    pair = next(((a, b) for a in classes for b in classes if a < b and a.casefold() == b.casefold()), None)
    notes = [f"{pair[0]} and {pair[1]} are taken as two classes: rename one in the files if not"] if pair else []
    return Meaning("labelme", with_background(classes), notes=[*notes, *_outside()])


def _label_only(entry: dict[str, Any]) -> dict[str, Any]:
    """Drop points and the copy of the image while a file is read."""
    return {key: entry[key] for key in ("shapes", "label") if key in entry}


def of_ids(files: Sequence[str], names: Names | None, root: Path) -> Meaning:
    """Return the meaning of YOLO's text files.

    Raises:
        UserError: They hold boxes only, or ids that the file with the names lacks.
    """
    ids: set[int] = set()
    boxes = 0
    for file in files:
        for words in map(str.split, read_text(Path(file)).splitlines()):
            if len(words) > _BOX:
                ids.add(int(float(words[0])))
            boxes += len(words) == _BOX
    if not ids:
        raise UserError(
            f"the text files in {root} hold {boxes} boxes and no outlines: a model that labels pixels needs outlines, "
            "`class x1 y1 x2 y2 …`; export them as YOLO segmentation"
        )
    if names is None:
        classes = with_background([f"class_{key + 1}" for key in range(max(ids) + 1)])
        note = "no data.yaml or classes.txt names the class ids: rename class_1, … in dataset.yaml"
        return Meaning("yolo", classes, notes=[note, *_outside()])
    known = names.numbers or range(len(names.names))
    unknown = sorted(ids.difference(known))
    if unknown:
        stated = f"only {shortened([str(number) for number in known])}" if names.numbers else f"{len(known)} classes"
        raise UserError(
            f"the text files have the class id {unknown[0]}, but {root / names.file} names {stated}: add the missing "
            "names"
        )
    return Meaning("yolo", with_background(names.names), options={"names_file": names.file}, notes=_outside())


def _outside() -> list[str]:
    return ["pixels outside all outlines are taken as background"]
