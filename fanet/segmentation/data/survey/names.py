"""What classes are called, and their colours: the files in which people write that down."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fanet.errors import UserError
from fanet.segmentation.data.documents import read_text, read_yaml
from fanet.segmentation.data.survey.tree import Tree

_LISTS = (
    *("classes.txt", "class_names.txt", "obj.names", "labels.txt", "names.txt", "codes.txt", "label_names.txt"),
    *("categories.txt", "labels.names", "classes.names"),
)
_TABLES = ("class_dict.csv", "classes.csv", "_classes.csv", "label_colors.txt", "labelmap.txt", "label_map.txt")
_YAMLS = ("data.yaml", "data.yml")
_SPECIAL = ("__ignore__",)  # in labelme's lists
_NUMBERED = re.compile(r"(\d+)\s*[:;,.=\s]\s*(.+)")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_MARKS = re.compile(r"[:,;\t]")
_SPACED = re.compile(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})")
_SPACED_FIRST, _SPACED_LAST = re.compile(rf"{_SPACED.pattern}\s+(\S.*)"), re.compile(rf"(.*\S)\s+{_SPACED.pattern}")
# What the columns of a table are called; spaces and underscores do not count.
_COLUMNS = {
    "name": ("name", "names", "class", "classname", "label", "labelname", "category", "object"),
    "number": ("id", "index", "value", "pixelvalue", "number", "code", "classid", "labelid", "categoryid", "trainid"),
    "colour": ("colour", "color", "hex", "hexcode", "rgb", "colourrgb", "colorrgb"),
    "red": ("r", "red"),
    "green": ("g", "green"),
    "blue": ("b", "blue"),
}


@dataclass(frozen=True)
class Names:
    """The classes that a file names.

    Attributes:
        file: The file, relative to the data set's folder.
        names: Their names, in order.
        colours: Their colours, or none.
        numbers: Their numbers in masks, rising, or none if the file does not say.
    """

    file: str
    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...] = ()
    numbers: tuple[int, ...] = ()


def find_names(tree: Tree) -> tuple[Names | None, list[str]]:
    """Return the classes that a file in a data set names, files with colours first, and a line if there are several.

    A name may occur twice; whoever needs different ones calls `require_different`.

    Raises:
        UserError: A file cannot be read.
    """
    found = []
    for file in sorted(tree.texts, key=lambda file: (file.name.count("/"), file.name)):
        called = PurePosixPath(file.name).name.lower()
        path = Path(file.path)
        names = None
        if called in _TABLES:
            names = _table(path, file.name)
        elif called in _LISTS:
            names = _list(path, file.name)
        elif called in _YAMLS:
            names = _yaml(path, file.name)
        if names is not None and names.names:
            found.append(names)
    found.sort(key=lambda names: not names.colours)
    others = [other.file for other in found[1:] if other.names != found[0].names]
    notes = [f"class names are those of {found[0].file}, not those of {others[0]}"] if others else []
    return (found[0] if found else None), notes


def require_different(names: Names, root: Path) -> None:
    """Refuse a file that names two classes alike.

    Raises:
        UserError: It does.
    """
    twice = next((name for index, name in enumerate(names.names) if name in names.names[:index]), None)
    if twice is not None:
        raise UserError(
            f"{root / names.file} names {twice} twice: give each class a name of its own, or rename the file if it "
            "does not name classes"
        )


def _list(path: Path, file: str) -> Names | None:
    """Read a file with a name in each line, numbered or not."""
    lines = [line.strip().strip("\"'") for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#") and line not in _SPECIAL]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        entries = sorted((int(match[1]), match[2].strip()) for match in numbered if match is not None)
        numbers, words = zip(*entries, strict=True)
        if len(set(numbers)) == len(lines) == len(set(words)):
            plain = list(numbers) in (list(range(len(lines))), list(range(1, len(lines) + 1)))
            return Names(file, words, numbers=() if plain else numbers)
    if not all(line.isprintable() for line in lines):
        raise UserError(f"{path} must have the name of a class in each line")
    return Names(file, tuple(lines)) if lines else None


def _table(path: Path, file: str) -> Names | None:
    """Read a table of names with colours or numbers, such as CamVid's `name,r,g,b` and CVAT's `name:r,g,b::`.

    Columns are told apart by their header, else by what is in them. Colours may be three numbers or `#rrggbb`. A text
    file without colours is a list.

    Raises:
        UserError: It is not clear which columns are the colour.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and (not line.startswith("#") or _HEX.match(line))]
    rows = [_cells(line) for line in lines]
    header = _header(rows[0]) if rows else {}
    rows = rows[1:] if header else rows
    found = [_entry(row, header) for row in rows]
    entries = [(name, colour, number) for name, colour, number in found if name and colour is not None]
    if entries and len(entries) == len(found):
        numbered = sorted((number, name, colour) for name, colour, number in entries if number is not None)
        if len({number for number, *_ in numbered}) < len(entries):
            return Names(file, tuple(name for name, *_ in entries), tuple(colour for _, colour, _ in entries))
        numbers, names, colours = zip(*numbered, strict=True)
        return Names(file, names, colours, numbers)
    if entries or any(sum(cell.isdecimal() for cell in row) > 3 for row in rows):
        wrong = (entry[1] is None or not entry[0] for entry in found)
        line = next(line for line, is_wrong in zip(lines[bool(header) :], wrong, strict=True) if is_wrong)
        raise UserError(
            f"{path}: it is not clear which columns are the name and the colour, got {line[:60]!r}: write the header "
            "name,r,g,b above lines like can,230,5,5"
        )
    if path.suffix.lower() == ".txt":
        return _list(path, file)
    return _numbered_table(rows if header else rows[1:], header, file) or _numbered_table(rows, header, file)


def _cells(line: str) -> list[str]:
    """Divide a line of a table, at spaces only if there are no other marks."""
    if _MARKS.search(line):
        cells = [cell.strip().strip("\"'") for cell in _MARKS.split(line)]
    else:
        match = _SPACED_LAST.fullmatch(line) or _SPACED_FIRST.fullmatch(line)
        cells = list(match.groups()) if match is not None else [line]
    spread = [match.groups() if (match := _SPACED.fullmatch(cell)) else (cell,) for cell in cells]
    return [cell for group in spread for cell in group]


def _header(row: Sequence[str]) -> dict[str, int]:
    """Return the place of each column that a row names; empty if it is no header."""
    plain = [re.sub(r"[\W_]", "", cell).lower() for cell in row]
    found = {column: plain.index(word) for column, words in _COLUMNS.items() for word in words if word in plain}
    return found if len(set(found.values())) > 1 and not any(cell.isdecimal() for cell in row) else {}


def _entry(row: Sequence[str], header: Mapping[str, int]) -> tuple[str, tuple[int, int, int] | None, int | None]:
    """Return the name, the colour and the number in a row, as far as they are there."""
    row = [*row, *[""] * (max(header.values(), default=0) + 1 - len(row))]
    whole = [index for index, cell in enumerate(row) if cell.isdecimal()]
    colour: tuple[int, int, int] | None = None
    hexes = [index for index, cell in enumerate(row) if _HEX.fullmatch(cell)]
    if {"red", "green", "blue"} <= header.keys():
        of_colour = [header[channel] for channel in ("red", "green", "blue")]
        levels = [int(row[index]) for index in of_colour if row[index].isdecimal()]
    elif hexes:
        of_colour, levels = hexes[:1], list(bytes.fromhex(row[hexes[0]][1:]))
    else:
        runs = [whole[i : i + 3] for i in range(len(whole) - 2) if whole[i + 2] == whole[i] + 2]
        if header.keys() & {"number"}:
            runs = [run for run in runs if header["number"] not in run]
        of_colour = runs[0] if len(runs) == 1 else []
        levels = [int(row[index]) for index in of_colour]
    if len(levels) == 3 and max(levels) <= 255:
        colour = (levels[0], levels[1], levels[2])
    else:
        of_colour = []
    rest = [index for index in range(len(row)) if index not in of_colour]
    numbers = [header["number"]] if "number" in header else [index for index in rest if index in whole]
    number = int(row[numbers[0]]) if len(numbers) == 1 and row[numbers[0]].isdecimal() else None
    names = [header["name"]] if "name" in header else [i for i in rest if row[i] and i not in numbers]
    return (row[names[0]] if names else ""), colour, number


def _numbered_table(rows: Sequence[Sequence[str]], header: Mapping[str, int], file: str) -> Names | None:
    """Return the classes of a table without colours: `Pixel Value, Class` as Roboflow has it, or names alone."""
    found = [(name, number) for name, _, number in (_entry(row, header) for row in rows)]
    if not found or not all(name for name, _ in found):
        return None
    numbers = {number: name for name, number in found if number is not None}
    if len(numbers) < len(found):
        return Names(file, tuple(name for name, _ in found))
    order = tuple(sorted(numbers))
    return Names(file, tuple(numbers[number] for number in order), numbers=order)


def _yaml(path: Path, file: str) -> Names | None:
    """Read the `names` of a `data.yaml`, as YOLO has it."""
    content = read_yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    numbers: tuple[int, ...] = ()
    if isinstance(names, dict):
        keys = sorted(names, key=lambda key: (len(str(key)), str(key)))  # 2 before 10
        if all(str(key).isdecimal() for key in keys) and list(map(int, keys)) != list(range(len(keys))):
            numbers = tuple(map(int, keys))
        names = [names[key] for key in keys]
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return None
    return Names(file, tuple(name.strip() for name in names), numbers=numbers)
