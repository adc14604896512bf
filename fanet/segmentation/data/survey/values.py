"""What all masks of a data set hold, read once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.media.images import reading
from fanet.media.label_maps import read_colours, read_values
from fanet.segmentation.data.parallel import parallel_map
from fanet.segmentation.data.survey.meaning import MOST
from fanet.segmentation.data.survey.names import Colour, Names

with needs_extra("seg", "cv2"):
    import cv2

_KEPT = 512  # values or colours of a mask; with more it is no mask of classes
_FEWEST_PER_WORKER = 256  # masks: for fewer, starting a process takes longer than reading them
_FEWEST_INSTANCES = 4  # objects in some mask, so that numbered objects can be told from classes
_WHOLE = 0.95  # share of numbers that are one piece each, if they number objects
_LOOKED_AT = 64  # masks in which pieces are counted


@dataclass
class Contents:
    """What masks hold: numbers, or colours if any mask holds those.

    Attributes:
        values: Pixels by number.
        colours: Pixels by colour, and the first mask that has it.
        files: The numbers or colours in each mask.
        palette: The colours in which masks with a palette show numbers.
        instances: A mask whose numbers seem to count objects, or nothing.
        notes: A line for each thing that was guessed.
    """

    values: Counter[int] = field(default_factory=Counter)
    colours: dict[Colour, tuple[int, str]] = field(default_factory=dict)
    files: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    palette: dict[int, Colour] = field(default_factory=dict)
    instances: str = ""
    notes: list[str] = field(default_factory=list)


def read_contents(files: Sequence[str], names: Names | None = None) -> Contents:
    """Read all masks.

    Args:
        files: Their paths.
        names: The classes that a file names, which tells whether numbers or colours count.

    Raises:
        UserError: Masks cannot be read, are compressed with loss, or it is not clear whether numbers or colours count.
    """
    read = _map(_numbers_of, files)
    numbers = [found for found, _ in read]
    palettes = [palette for _, palette in read]
    whole = {file: found for file, found in zip(files, numbers, strict=True) if not isinstance(found, str)}
    if len(whole) == len(files):
        clash = _clash(whole, palettes, names)
        if not clash:
            contents = Contents()
            for file, found in whole.items():
                contents.values.update(found)
                contents.files[file] = tuple(found)
            contents.palette = {number: colour for palette in palettes[::-1] for number, colour in palette.items()}
            contents.instances = _numbered(contents.files)
            return contents
        return _in_colours(files, numbers, [f"{clash}: the colours count"])
    contents = _in_colours(files, numbers, [])
    plain = {
        file: found for file, palette in zip(files, palettes, strict=True) if (found := whole.get(file)) and not palette
    }
    _require_one_kind(contents, plain)
    return contents


def _in_colours(files: Sequence[str], numbers: Sequence[dict[int, int] | str], notes: list[str]) -> Contents:
    """Read the colours of masks, of which some hold no numbers."""
    contents = Contents(notes=notes)
    colours = _map(_colours_of, files)
    faults = [
        fault if isinstance(fault, str) else found
        for fault, found in zip(numbers, colours, strict=True)
        if isinstance(found, str)
    ]
    if faults:
        raise UserError(faults[0] + (f" (and {len(faults) - 1} more masks like it)" if faults[1:] else ""))
    for file, found in zip(files, colours, strict=True):
        contents.files[file] = tuple(found)
        for colour, count in found.items():
            before, first = contents.colours.get(colour, (0, file))
            contents.colours[colour] = before + count, first
    return contents


def _map(function: Callable[[Sequence[str], int], Any], files: Sequence[str]) -> list[Any]:
    call = partial(function, files)
    with parallel_map(call, len(files), "reading masks", "mask", None, _FEWEST_PER_WORKER) as results:
        return list(results)


def _numbers_of(files: Sequence[str], index: int) -> tuple[dict[int, int] | str, dict[int, Colour]]:
    """Return the pixels by number, or why a mask holds none; and the colours in which it shows numbers, if any."""
    try:
        return _counts(read_values(files[index]).pixels), _palette(files[index])
    except UserError as error:
        return str(error), {}


def _colours_of(files: Sequence[str], index: int) -> dict[Colour, int] | str:
    """Return the pixels by colour, or why a mask cannot be read."""
    try:
        pixels = read_colours(files[index]).pixels.astype(np.int32)
    except UserError as error:
        return str(error)
    codes = _counts(pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2])
    return {(code >> 16, code >> 8 & 255, code & 255): count for code, count in codes.items()}


def _counts(values: np.ndarray) -> dict[int, int]:
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found[:_KEPT].tolist(), counts[:_KEPT].tolist(), strict=True))


def _require_one_kind(contents: Contents, plain: Mapping[str, dict[int, int]]) -> None:
    """Refuse masks of which some hold colours and others, `plain`, small numbers, which as colours are nearly black."""
    other = next((file for file in contents.files if file not in plain), "")
    used = {colour for file, found in contents.files.items() if file not in plain for colour in found}
    small = {number for found in plain.values() for number in found if 0 < number < MOST}
    if sum((number, number, number) not in used for number in small) > 1:
        file = next(file for file, found in plain.items() if small.intersection(found))
        raise UserError(f"{other} holds colours, but {file} numbers: save all masks in the same way")


def _clash(files: Mapping[str, dict[int, int]], palettes: Sequence[dict[int, Colour]], names: Names | None) -> str:
    """Return where two masks show a number in different colours, if the colours are what counts; else nothing.

    Programs do that which sort the palette of each file anew, or which use palettes of their own.

    Raises:
        UserError: It is not clear which counts.
    """
    shown: dict[int, tuple[Colour, str]] = {}
    colours: set[Colour] = set()
    clash = ""
    for (file, found), palette in zip(files.items(), palettes, strict=True):
        for number in found:
            if number in palette:
                colours.add(palette[number])
                colour, first = shown.setdefault(number, (palette[number], file))
                if colour != palette[number] and not clash:
                    clash = f"{first} and {file} show the number {number} in different colours"
    if not clash or (names is not None and names.numbers and not names.colours):
        return ""
    is_clear = colours <= set(names.colours) if names is not None else len(colours) <= len(shown)
    if not all(palettes) or not is_clear:
        raise UserError(f"{clash}, and it is not clear whether numbers or colours count: save all with one palette")
    return clash


def _palette(file: str) -> dict[int, Colour]:
    """Return the colours in which a mask shows its numbers, if it has a palette that is no ramp of greys."""
    try:
        with reading(file) as image:
            flat = image.getpalette() if image.mode == "P" else None
    except UserError:  # such as an array
        return {}
    colours = [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3)] if flat else []
    return dict(enumerate(colours)) if any(len(set(colour)) > 1 for colour in colours) else {}


def _numbered(files: Mapping[str, Sequence[int]]) -> str:
    """Return a mask whose numbers seem to count objects, or nothing.

    They do where every mask has the numbers 1, 2, 3, … without a gap, as many as it has objects, so that masks differ
    in how many, and nearly each number is in one piece.
    """
    objects = {file: sorted(number for number in found if number) for file, found in files.items()}
    objects = {file: found for file, found in objects.items() if found}
    counts = {len(found) for found in objects.values()}
    if not counts or max(counts) < _FEWEST_INSTANCES or (len(objects) > 1 and len(counts) == 1):
        return ""
    if any(found != list(range(1, len(found) + 1)) for found in objects.values()):
        return ""
    most = sorted(objects, key=lambda file: len(objects[file]), reverse=True)[:_LOOKED_AT]
    pieces = whole = 0
    for file in most:
        values = read_values(file).pixels
        for number in objects[file]:
            count, _ = cv2.connectedComponents((values == number).astype(np.uint8))
            pieces += 1
            whole += count == 2  # the background and one piece
    return most[0] if whole >= _WHOLE * pieces else ""
