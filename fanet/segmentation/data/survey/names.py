"""What classes are called, and their colours: the files in which people write that down."""

import csv
import re
from collections.abc import Sequence
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
_COLOUR = re.compile(r"(\d{1,3})[,;\s]+(\d{1,3})[,;\s]+(\d{1,3})")


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
        if names is not None and len(set(names.names)) == len(names.names) > 0:
            found.append(names)
    found.sort(key=lambda names: not names.colours)
    others = [other.file for other in found[1:] if other.names != found[0].names]
    notes = [f"class names are those of {found[0].file}, not those of {others[0]}"] if others else []
    return (found[0] if found else None), notes


def _list(path: Path, file: str) -> Names | None:
    """Read a file with a name in each line, numbered or not."""
    lines = [line.strip().strip("\"'") for line in read_text(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#") and line not in _SPECIAL]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        entries = [(int(match[1]), match[2].strip()) for match in numbered if match is not None]
        if [number for number, _ in entries] in (list(range(len(lines))), list(range(1, len(lines) + 1))):
            lines = [name for _, name in entries]
    if not all(line.isprintable() for line in lines):
        raise UserError(f"{path} must have the name of a class in each line")
    return Names(file, tuple(lines)) if lines else None


def _table(path: Path, file: str) -> Names | None:
    """Read names and colours: `name,r,g,b` as CamVid's tables have them, or `name:r,g,b::` as CVAT writes them.

    A table without colours has the names in its last column, and may have the numbers in its first.
    """
    names: list[str] = []
    colours: list[tuple[int, int, int]] = []
    for line in read_text(path).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _COLOUR.search(line)
        if match is None:
            continue  # a header
        around = [*re.split(r"[:,;\t]", line[: match.start()]), *re.split(r"[:,;\t]", line[match.end() :])]
        name = next((word.strip().strip('"') for word in around if word.strip()), "")
        red, green, blue = (int(value) for value in match.groups())
        if not name or max(red, green, blue) > 255:
            return None
        names.append(name)
        colours.append((red, green, blue))
    if names:
        return Names(file, tuple(names), tuple(colours))
    if path.suffix.lower() == ".txt":
        return _list(path, file)
    lines = read_text(path).splitlines()
    delimiter = next((mark for mark in ",;\t" if mark in "".join(lines[:1])), ",")  # by the header
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter) if row]
    numbers = {int(row[0]): row[-1] for row in rows if len(row) > 1 and row[0].isdecimal()}
    order = tuple(sorted(numbers))  # with a header `Pixel Value, Class`, as Roboflow writes them
    words = [numbers[number] for number in order] or [row[-1] for row in rows[1:]]
    return Names(file, tuple(words), numbers=order) if words and all(words) else None


def _yaml(path: Path, file: str) -> Names | None:
    """Read the `names` of a `data.yaml`, as YOLO has it."""
    content = read_yaml(path)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=lambda key: (len(str(key)), str(key)))]  # 2 before 10
    if not isinstance(names, Sequence) or isinstance(names, str) or not all(isinstance(name, str) for name in names):
        return None
    return Names(file, tuple(name.strip() for name in names))
