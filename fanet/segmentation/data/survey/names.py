"""What classes are called, and their colours: the files in which people write that down."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fanet.errors import UserError
from fanet.media.formats import IMAGE_SUFFIXES
from fanet.segmentation.data.documents import numbered_lines, read_text, read_yaml
from fanet.segmentation.data.survey.tree import Tree

_LISTS = (
    *("classes.txt", "class_names.txt", "obj.names", "labels.txt", "names.txt", "codes.txt", "label_names.txt"),
    *("categories.txt", "labels.names", "classes.names"),
)
_TABLES = ("class_dict.csv", "classes.csv", "_classes.csv", "label_colors.txt", "labelmap.txt", "label_map.txt")
_YAMLS = ("data.yaml", "data.yml")
_SPECIAL = ("__ignore__",)  # in labelme's lists
_COLOUR = re.compile(r"(\d{1,3})[,;\s]+(\d{1,3})[,;\s]+(\d{1,3})")
_COLOUR_LAST = re.compile(r"[^,;\t]*[^,;\t\d\s][^,;\t]*[,;\t]\s*(\d{1,3})[,;\t]\s*(\d{1,3})[,;\t]\s*(\d{1,3})")
_COLOUR_CELL = re.compile(r"(?:rgb)?[(\[]?\s*(\d{1,3})[,;\s]+(\d{1,3})[,;\s]+(\d{1,3})\s*[)\]]?", re.IGNORECASE)
_DELIMITERS = ",;\t"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_WHOLE = re.compile(r"\d{1,9}")
# What the columns of a table are called, the likeliest first; spaces and underscores do not count.
_COLUMNS = {
    "name": ("name", "names", "classname", "labelname", "class", "label", "category"),
    "number": ("id", "index", "idx", "value", "pixelvalue", "classid", "labelid", "number", "code", "trainid"),
    "colour": ("colour", "color", "hex", "hexcode", "rgb", "colourrgb", "colorrgb"),
    "red": ("r", "red"),
    "green": ("g", "green"),
    "blue": ("b", "blue"),
}
_CHANNELS = ("red", "green", "blue")

Colour = tuple[int, int, int]


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
    colours: tuple[Colour, ...] = ()
    numbers: tuple[int, ...] = ()


def find_names(tree: Tree) -> tuple[Names | None, list[str]]:
    """Return the classes that a file in a data set names, files with colours first, and a line if there are several.

    A name may occur twice; whoever needs different ones calls `require_different`.

    Raises:
        UserError: A file cannot be read.
    """
    found, notes = [], []
    for file in sorted(tree.texts, key=lambda file: (file.name.count("/"), file.name)):
        called = PurePosixPath(file.name).name.lower()
        path = Path(file.path)
        names = None
        if called in _TABLES:
            names = _table(path, file.name)
            if names is None or any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in names.names):
                names = None  # such as a table of images
                notes.append(f"{file.name} is no table of classes with one name a line, and is not used")
        elif called in _LISTS:
            names = _list(path, file.name)
        elif called in _YAMLS:
            names = _yaml(path, file.name)
        if names is not None and names.names:
            found.append(names)
    found.sort(key=lambda names: not names.colours)
    others = [other.file for other in found[1:] if other.names != found[0].names]
    if others:
        notes.append(f"class names are those of {found[0].file}, not those of {others[0]}")
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
    if not all(line.isprintable() for line in lines):
        raise UserError(f"{path} must have the name of a class in each line")
    numbered = numbered_lines(lines)
    if numbered is None:
        return Names(file, tuple(lines)) if lines else None
    numbers = tuple(sorted(numbered))
    plain = numbers in (tuple(range(len(lines))), tuple(range(1, len(lines) + 1)))
    return Names(file, tuple(numbered[number] for number in numbers), numbers=() if plain else numbers)


def _table(path: Path, file: str) -> Names | None:
    """Read names with colours or numbers: a table, or lines such as CVAT's `name:r,g,b::` and CamVid's `r g b name`.

    The columns of a CSV file are told apart by their header, else by what is in them. None if that is not clear.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and (not line.startswith("#") or _HEX.match(line))]
    is_list = path.suffix.lower() == ".txt"
    if not is_list:
        names = _columns(lines, file)
        if names is not None:
            return names
    names_of: list[str] = []
    colours: list[Colour] = []
    for line in lines:
        match = _COLOUR_LAST.fullmatch(line) or _COLOUR.search(line)
        if match is None:
            continue  # a header
        around = [*re.split(r"[:,;\t]", line[: match.start(1)]), *re.split(r"[:,;\t]", line[match.end(3) :])]
        name = next((word.strip().strip('"') for word in around if word.strip()), "")
        red, green, blue = (int(value) for value in match.groups())
        if not name or max(red, green, blue) > 255:
            return None
        names_of.append(name)
        colours.append((red, green, blue))
    if names_of:
        return Names(file, tuple(names_of), tuple(colours))
    return _list(path, file) if is_list or not any(mark in "".join(lines) for mark in _DELIMITERS) else None


def _columns(lines: Sequence[str], file: str) -> Names | None:
    """Read a table by its columns; None if it is not clear which is which."""
    delimiter = next((mark for mark in _DELIMITERS if mark in "".join(lines[:1])), ",")  # by the header
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error:  # a field of more than 131,072 characters
        return None
    rows = [row for row in rows if any(row)]
    width = max(map(len, rows), default=0)
    rows = [[*row, *[""] * (width - len(row))] for row in rows]
    places = _by_header(rows[0]) if rows else {}
    if places:
        rows = rows[1:]
    else:
        places = _by_content(rows)
    if not rows or "name" not in places:
        return None
    names = tuple(row[places["name"]] for row in rows)
    colours = tuple(_colour_in(row, places) for row in rows)
    numbers = [_whole(row[places["number"]]) if "number" in places else None for row in rows]
    whole = [number for number in numbers if number is not None]
    known = tuple(colour for colour in colours if colour is not None)
    has_colours = not places.keys().isdisjoint({"colour", "red"})
    if not all(names) or (has_colours and len(known) < len(rows)):
        return None
    if len(set(whole)) < len(rows):
        return Names(file, names, known)
    order = sorted(range(len(rows)), key=lambda row: whole[row])
    return Names(
        file,
        tuple(names[row] for row in order),
        tuple(known[row] for row in order) if has_colours else (),
        tuple(whole[row] for row in order),
    )


def _by_header(row: Sequence[str]) -> dict[str, int]:
    """Return the place of each column that a row names; empty if it is no header."""
    plain = [re.sub(r"[\W_]", "", cell).lower() for cell in row]
    if any(_whole(cell) is not None for cell in row):
        return {}
    firsts = {column: next((word for word in words if word in plain), None) for column, words in _COLUMNS.items()}
    found = {column: plain.index(word) for column, word in firsts.items() if word is not None}
    return found if "name" in found else {}


def _by_content(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the place of each column without a header: one of names, and numbers, colours or both; else empty."""
    columns = list(zip(*rows, strict=True))
    numbers = [index for index, cells in enumerate(columns) if all(_whole(cell) is not None for cell in cells)]
    hexes = [index for index, cells in enumerate(columns) if all(_HEX.fullmatch(cell) for cell in cells)]
    texts = [index for index, cells in enumerate(columns) if index not in (*numbers, *hexes) and all(cells)]
    if len(texts) != 1 or len(hexes) > 1 or not (numbers or hexes):
        return {}
    found = {"name": texts[0]} | ({"colour": hexes[0]} if hexes else {})
    if len(numbers) == 4:
        counting = [index for index in (numbers[0], numbers[-1]) if _counts(columns[index])]
        if len(counting) != 1:
            return {}
        found["number"] = counting[0]
        numbers = [index for index in numbers if index != counting[0]]
    elif len(numbers) == 1:
        found["number"] = numbers.pop()
    if numbers and (len(numbers) != 3 or numbers[2] != numbers[0] + 2 or hexes):
        return {}
    return found | dict(zip(_CHANNELS, numbers, strict=bool(numbers)))


def _counts(cells: Sequence[str]) -> bool:
    """Return whether cells are 0, 1, 2, … or 1, 2, 3, … in any order."""
    values = sorted(int(cell) for cell in cells)
    return len(values) > 1 and values in (list(range(len(values))), list(range(1, len(values) + 1)))


def _colour_in(row: Sequence[str], places: Mapping[str, int]) -> Colour | None:
    levels: list[int | None] = []
    if set(_CHANNELS) <= places.keys():
        levels = [_whole(row[places[channel]]) for channel in _CHANNELS]
    elif "colour" in places:
        cell = row[places["colour"]]
        match = _COLOUR_CELL.fullmatch(cell)
        if _HEX.fullmatch(cell):
            levels = list(bytes.fromhex(cell[1:]))
        elif match is not None:
            levels = [int(value) for value in match.groups()]
    whole = [level for level in levels if level is not None and level <= 255]
    return (whole[0], whole[1], whole[2]) if len(whole) == 3 else None


def _whole(cell: str) -> int | None:
    return int(cell) if _WHOLE.fullmatch(cell) else None


def _yaml(path: Path, file: str) -> Names | None:
    """Read the `names` of a `data.yaml`, as YOLO has it."""
    content = read_yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    numbers: tuple[int, ...] = ()
    if isinstance(names, dict):
        keys = sorted(names, key=lambda key: (len(str(key)), str(key)))  # 2 before 10
        if all(_WHOLE.fullmatch(str(key)) for key in keys) and list(map(int, keys)) != list(range(len(keys))):
            numbers = tuple(map(int, keys))
        names = [names[key] for key in keys]
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return None
    return Names(file, tuple(name.strip() for name in names), numbers=numbers)
