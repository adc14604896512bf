"""The classes of a `dataset.yaml`: their names, their colours and the label that does not count."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fanet.classes import ClassScheme
from fanet.errors import UserError

_MOST_CLASSES = 255
_EXAMPLE = "classes: [background, object]"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def read_classes(config: Mapping[str, Any], path: Path) -> ClassScheme:
    """Return what the labels mean once they are read; `ignore_index` is not one of the classes' indices.

    Args:
        config: The contents of the `dataset.yaml`.
        path: How errors name it.

    Raises:
        UserError: Names, palette or `ignore_index` are invalid.
    """
    names = _names(config["classes"], path)
    ignore_index, is_colour = config.get("ignore_index", 255), config.get("mask_kind") == "colour"
    if type(ignore_index) is not int or not 0 <= ignore_index <= 255:
        raise UserError(f"{path}: ignore_index must be a whole number from 0 to 255, got {ignore_index!r}")
    palette = config.get("palette")
    if palette is None:
        if is_colour:
            raise UserError(f"{path}: masks in colours need a palette, one colour for each class")
        colours = list(ClassScheme.numbered(len(names)).palette)
    elif isinstance(palette, list):
        colours = [read_colour(colour, path) for colour in palette]
    else:
        raise UserError(f"{path}: a palette is a list of colours, each three whole numbers from 0 to 255")
    used = [*colours, read_colour(config["ignore_colour"], path)] if "ignore_colour" in config else colours
    if is_colour and len(set(used)) < len(used):
        raise UserError(f"{path}: two classes share a colour, so masks in colours cannot tell them apart")
    # an ignore_index of the files that is below the number of classes would be a class once they are read
    inside = ignore_index if ignore_index >= len(names) else 255
    try:
        return ClassScheme(tuple(names), tuple(colours), inside)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def read_colour(value: Any, path: Path) -> tuple[int, int, int]:
    """Return a colour that is written as `[230, 5, 5]` or `"#e60505"`.

    Raises:
        UserError: It is something else.
    """
    if isinstance(value, str) and _HEX.fullmatch(value):
        value = list(bytes.fromhex(value[1:]))
    if not isinstance(value, list) or len(value) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in value):
        raise UserError(
            f"{path}: a colour is three whole numbers from 0 to 255, such as [230, 5, 5], or '#e60505', got {value!r}"
        )
    red, green, blue = value
    return red, green, blue


def _names(names: Any, path: Path) -> list[str]:
    """Return the names of the classes: a list, or a mapping from the indices 0, 1, … to names."""
    if isinstance(names, dict):
        if any(type(key) is not int for key in names) or sorted(names) != list(range(len(names))):
            raise UserError(
                f"{path}: classes must be a list of names, in the order of their indices, or have the keys 0 to "
                f"{len(names) - 1}, got {', '.join(map(str, names))}; `values` says what other numbers in masks mean"
            )
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path}: classes must be a list of names, such as {_EXAMPLE}")
    if not all(isinstance(name, str) for name in names):
        wrong = None if None in names else next(name for name in names if not isinstance(name, str))
        quoted = ", ".join(repr(str(name)) for name in names)
        cure = "give every class a name" if wrong is None else f"with quotes, classes: [{quoted}]"
        raise UserError(f"{path}: classes must be a list of names, and {wrong!r} is none: {cure}")
    for name in names:
        if not name.isprintable() or name != name.strip() or not name:
            raise UserError(
                f"{path}: the class name {name!r} must have at least one character, no line breaks, and no spaces at "
                "its ends"
            )
    if len(names) == 1:
        line = yaml.safe_dump(["background", names[0]], default_flow_style=True, allow_unicode=True).strip()
        raise UserError(
            f"{path} has one class, {names[0]}, so that there is nothing to tell apart: add one for the rest, "
            f"classes: {line}"
        )
    if len(names) > _MOST_CLASSES:
        raise UserError(f"{path} has {len(names)} classes: at most {_MOST_CLASSES} are possible")
    return names
