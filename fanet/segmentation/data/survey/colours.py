"""What the colours in masks mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fanet.errors import UserError
from fanet.segmentation.data.survey.meaning import BACKGROUND, MOST, Meaning, with_background
from fanet.segmentation.data.survey.names import Colour, Names
from fanet.segmentation.data.survey.values import Contents

VOID = (224, 224, 192)  # of pixels that do not count in Pascal VOC
_BLACK = (0, 0, 0)
_TABLE = "a line name,r,g,b for each"


def of_colours(contents: Contents, names: Names | None, root: Path) -> Meaning:
    """Return the meaning of masks that hold colours.

    Raises:
        UserError: Colours are not those that a file names, or too many to be classes.
    """
    seen = sorted(contents.colours)
    if names is not None and names.colours:
        return _named(contents, names, root)
    table = root / "class_dict.csv"
    if len(seen) > MOST:
        file = max(contents.files, key=lambda file: len(contents.files[file]))
        raise UserError(
            f"the masks in {root} hold {len(seen)} colours, {file} alone {len(contents.files[file])}: if edges are "
            f"smoothed, save masks without that, as PNG; if they are classes, name them in {table}, {_TABLE}"
        )
    colours = [colour for colour in seen if colour != VOID]
    options: dict[str, Any] = {"ignore_colour": list(VOID)} if VOID in seen else {}
    notes = [f"{_hex(VOID)} is taken as pixels that do not count, as in Pascal VOC"] if options else []
    if len(colours) < 2:
        raise UserError(f"all masks in {root} hold {_hex(seen[0])} only: there is nothing to tell apart")
    most = max(colours, key=lambda colour: contents.colours[colour][0])
    first = _BLACK if _BLACK in colours else most
    colours.sort(key=lambda colour: colour != first)
    for classes in [list(names.names), with_background(names.names)] if names is not None else []:
        if names is not None and len(classes) == len(colours):
            pairs = ", ".join(f"{name},{','.join(map(str, c))}" for c, name in zip(colours, classes, strict=True))
            raise UserError(
                f"{root / names.file} names the classes, but no file their colours: write {table}, {_TABLE}, "
                f"such as {pairs}, if that is right"
            )
    classes = [f"class_{index}" for index in range(len(colours))]
    if first == most:
        classes[0] = BACKGROUND
        notes.append(f"{_hex(first)} is taken as background, the most frequent colour")
    shown = ", ".join(f"{name} {_hex(colour)}" for name, colour in zip(classes, colours, strict=True))
    return Meaning("colour", classes, colours, options, [*notes, f"no file names the colours, rename them: {shown}"])


def _named(contents: Contents, names: Names, root: Path) -> Meaning:
    known = set(names.colours)
    unknown = [colour for colour in sorted(contents.colours) if colour not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more colours" if unknown[1:] else ""
        raise UserError(
            f"{contents.colours[unknown[0]][1]} holds {_hex(unknown[0])}{more}, which {root / names.file} does not "
            "name: add it there, or save masks without smoothing, as PNG"
        )
    return Meaning("colour", list(names.names), list(names.colours))


def _hex(colour: Colour | Sequence[int]) -> str:
    return "#" + bytes(colour).hex()
