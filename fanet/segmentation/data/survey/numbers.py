"""What the numbers in masks mean."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fanet.classes import background_of
from fanet.errors import UserError
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.survey.meaning import BACKGROUND, MOST, OBJECT, Meaning, with_background
from fanet.segmentation.data.survey.names import Names
from fanet.segmentation.data.survey.values import Contents

VOID = 255  # the usual number of pixels that do not count
_VOID_NOTE = f"{VOID} in masks is taken as pixels that do not count"
_VOIDS = ("void", "ignore", "ignored", "unlabeled", "unlabelled", "unknown", "nodata")
# Smoothed edges: this many numbers beside the three most frequent, which together cover at most this share.
_SOFT, _SOFT_SHARE = 8, 0.05
_SHOWN = 8  # numbers in a line

#: Class names, the number that stands for each, and a line for each guess.
_Classes = tuple[list[str], list[int], list[str]]


def of_numbers(contents: Contents, names: Names | None, root: Path) -> Meaning:
    """Return the meaning of masks that hold numbers.

    Raises:
        UserError: There is one number only, or they seem to be something else than classes, or other classes than those
            that a file names.
    """
    seen = sorted(contents.values)
    if len(seen) < 2:
        raise UserError(f"all masks in {root} hold {seen[0]} only: there is nothing to tell apart")
    _require_classes(contents, names, root)
    classes, numbers, notes = _unnamed(contents) if names is None else _named(contents, names, root)
    meanings = {number: index for index, number in enumerate(numbers)}
    options: dict[str, Any] = {}
    if any(number != index for number, index in meanings.items()):
        options["values"] = {number: meanings.get(number, "ignore") for number in sorted({*seen, *numbers})}
    elif VOID in seen and VOID not in meanings:
        options["ignore_index"] = VOID
    palette = [contents.palette[number] for number in numbers if number in contents.palette]
    is_whole = len(set(palette)) == len(classes)
    return Meaning("index", classes, palette if is_whole else (), options, notes)


def _require_classes(contents: Contents, names: Names | None, root: Path) -> None:
    """Refuse numbers that are levels of grey, or count objects."""
    count = len(contents.values)
    if count > (MOST if names is None else len(names.names) + 2) or _is_soft(contents):
        file = max(contents.files, key=lambda file: len(contents.files[file]))
        known = "" if names is None else f", but {names.file} names {len(names.names)} classes"
        raise UserError(
            f"the masks in {root} hold {count} different numbers, {file} alone {len(contents.files[file])}{known}: "
            "if edges are smoothed, save masks without that; if each object has a number, save its class; if they are "
            f"classes, name them all in {root / 'classes.txt'}, one a line"
        )
    if names is None and contents.instances:
        raise UserError(
            f"masks such as {contents.instances} seem to count objects (1, 2, 3, …, each in one piece, more or fewer "
            f"from mask to mask): save the class of each object; if they are classes, name them in "
            f"{root / 'classes.txt'}, one a line"
        )


def _is_soft(contents: Contents) -> bool:
    """Return whether many numbers cover few pixels beside a few that cover nearly all."""
    counts = sorted(contents.values.values(), reverse=True)[3:]
    numbers = sorted(contents.values.keys() - {VOID})
    counts_up = numbers == list(range(len(numbers)))
    return len(counts) >= _SOFT and sum(counts) < _SOFT_SHARE * sum(contents.values.values()) and not counts_up


def _named(contents: Contents, names: Names, root: Path) -> _Classes:
    """Return the classes that a file names, with its numbers; without any, indices or the numbers by their order."""
    seen = sorted(contents.values)
    others = [number for number in seen if number != VOID] or list(seen)
    if names.numbers:
        return _numbered(contents, names, others, root)
    spellings = [list(names.names), with_background(names.names)]
    for classes in spellings:
        if len(classes) == 2 == len(seen):
            return classes, list(seen), [f"masks hold {seen[0]} and {seen[1]}: taken as {classes[0]} and {classes[1]}"]
        if len(classes) > 1 and others[-1] < len(classes):
            if len(classes) > len(names.names) and contents.values[0] < max(contents.values.values()):
                raise UserError(
                    f"{root / names.file} names {len(names.names)} classes, but the masks hold 0 to {others[-1]}: add "
                    f"`{BACKGROUND}` as its first line if 0 is that; if {others[-1]} does not count, write "
                    f"ignore_index: {others[-1]} in a {root / 'dataset.yaml'} of your own"
                )
            numbers = list(range(len(classes)))
            lines = [_as_named(names, numbers, classes), *([_VOID_NOTE] if VOID in seen else [])]
            return classes, numbers, lines
    for classes in spellings:
        for numbers in (list(seen), others):
            if len(classes) == len(numbers):
                pairs = ", ".join(f"{number} is {name}" for number, name in zip(numbers, classes, strict=True))
                line = f"masks hold other numbers than 0, 1, 2, …: by their order {pairs}"
                return classes, numbers, [line, *([_VOID_NOTE] if len(numbers) < len(seen) else [])]
    raise UserError(
        f"{root / names.file} names {len(names.names)} classes, but the masks hold {len(seen)} numbers "
        f"({shortened([str(number) for number in seen], _SHOWN)}): name them all, in the order of the numbers"
    )


def _numbered(contents: Contents, names: Names, seen: Sequence[int], root: Path) -> _Classes:
    """Return the classes of a file that says which number each has; 0 is the background if it has none."""
    named = {
        number: name for number, name in zip(names.numbers, names.names, strict=True) if not _is_void(number, name)
    }
    classes, numbers = list(named.values()), list(named)
    is_most = contents.values[0] == max(contents.values.values())
    if 0 in seen and 0 not in numbers and is_most and background_of(classes) is None:
        classes, numbers = [BACKGROUND, *classes], [0, *numbers]
    unknown = [str(number) for number in seen if number not in numbers]
    if unknown:
        raise UserError(
            f"the masks hold {shortened(unknown, _SHOWN)}, which {root / names.file} does not number: add a name for "
            f"each, or write in a {root / 'dataset.yaml'} of your own by `values` that it is ignored"
        )
    is_void = VOID in contents.values and VOID not in numbers
    return classes, numbers, [_as_named(names, numbers, classes), *([_VOID_NOTE] * is_void)]


def _is_void(number: int, name: str) -> bool:
    return number == VOID and re.sub(r"[\W_]", "", name).casefold() in _VOIDS


def _as_named(names: Names, numbers: Sequence[int], classes: Sequence[str] | None = None) -> str:
    pairs = zip(numbers[:_SHOWN], classes or names.names, strict=False)
    return f"numbered as {names.file} has them: " + ", ".join(f"{number} is {name}" for number, name in pairs)


def _unnamed(contents: Contents) -> _Classes:
    """Return names for the classes of masks that nothing names."""
    seen = sorted(contents.values)
    is_void = VOID in seen and len(seen) > 2
    numbers = [number for number in seen if number != VOID] if is_void else seen
    notes = [_VOID_NOTE] if is_void else []
    most = max(numbers, key=lambda number: contents.values[number])
    if len(numbers) == 2 and most == numbers[0]:
        return [BACKGROUND, OBJECT], numbers, [*notes, f"{numbers[0]} is taken as background, {numbers[1]} as object"]
    if numbers[0] == 0 and numbers[-1] < 2 * len(numbers):
        numbers = list(range(numbers[-1] + 1))  # those that happen not to occur are classes, too
    share = f"{100 * contents.values[numbers[0]] / contents.values.total():.0f} % of the pixels"
    classes = [f"class_{index}" for index in range(len(numbers))]
    if numbers[0] == most:
        classes[0] = BACKGROUND
        notes.append(f"{most} is taken as background, the most frequent ({share})")
    elif numbers[0] == 0:
        line = f"values: {{0: ignore, {numbers[1]}: 0, …}}, and leave {classes[0]} out of the classes"
        notes.append(f"0 ({share}) is taken as a class: if it is none, write {line}")
    if numbers != list(range(len(numbers))):
        notes.append(f"masks hold {shortened([str(number) for number in numbers], _SHOWN)}: classes in their order")
    first = next(name for name in classes if name != BACKGROUND)
    return classes, numbers, [*notes, f"no file names the classes: rename {first}, … in dataset.yaml"]
