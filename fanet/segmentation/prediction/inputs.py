"""Which files are meant by the files, folders and patterns that are given, and which of them are left out and why."""

import fnmatch
import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fanet.errors import UserError, counted, printable_line
from fanet.media.formats import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image_file, is_raw, is_video

#: What the names of results end with, before the suffix.
LABELS, OVERLAY, SHARES, PARTIAL = "_labels", "_overlay", "_shares", ".partial"

_EXAMPLES = 3
_FOLDERS_SEARCHED = 1000  # in a subfolder, for the first image
_NO_IMAGE, _HIDDEN, _RAW = "not an image or video", "hidden", "raw camera data"
_RESULT, _AGAIN, _DANGLING, _SPECIAL = "from an earlier run", "linked again", "broken link", "not a regular file"
_FOLDER, _UNREADABLE = "subfolder with images", "folder without permission to read"


@dataclass
class Inputs:
    """What is to be predicted.

    Attributes:
        files: Each file once, with the path of its results below the output folder, without suffix.
        left_out: What was found and is not predicted, by the reason.
    """

    files: list[tuple[Path, Path]] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    def summary(self) -> str:
        """Say what was left out and why, in one line: `3 files left out: 2 hidden (…), 1 not an image or video (…)`."""
        texts = []
        if files := {reason: paths for reason, paths in self.left_out.items() if reason != _FOLDER}:
            reasons = ", ".join(f"{len(paths)} {reason} ({examples(paths)})" for reason, paths in files.items())
            texts.append(f"{counted(sum(map(len, files.values())), 'file')} left out: {reasons}")
        if folders := self.left_out.get(_FOLDER):
            everything = f"{printable_line(folders[0].parent)}/**".removeprefix("./")
            texts.append(
                f"{counted(len(folders), 'subfolder')} with images left out ({examples(folders)}): "
                f'give "{everything}" for all'
            )
        return "; ".join(texts)


def collect_inputs(entries: Sequence[str | Path]) -> Inputs:
    """Find the images and videos named by files, folders and glob patterns, in that order, each once.

    A folder stands for the images and videos directly in it, a pattern for those that it matches; `**` follows links to
    folders, but enters each folder once. What exists under a name is meant literally, whatever characters the name has.

    Raises:
        UserError: A file is missing, or a folder or a pattern has no images or videos.
    """
    search = _Search()
    for entry in entries:
        search.add(entry)
    return search.inputs


def examples(paths: Sequence[Path]) -> str:
    """Return the names of the first files."""
    names = ", ".join(printable_line(path.name) for path in paths[:_EXAMPLES])
    return names + (", …" if len(paths) > _EXAMPLES else "")


class _Search:
    """Expands one argument after another."""

    def __init__(self) -> None:
        self.inputs = Inputs()
        self._seen: dict[Path, Path] = {}  # files by where they really are
        self._names: dict[Path, set[str]] = {}  # what is in a folder: file names, and names without suffix

    def add(self, entry: str | Path) -> None:
        if not str(entry):
            raise UserError("the name of an input is empty: name a file, a folder or a pattern")
        path = Path(entry)
        if str(entry).startswith("~") and not os.path.exists(path.parts[0]):
            path = Path(os.path.expanduser(path))
        if os.path.isdir(path):
            self._add_matches(path, ["*"], f"the folder {printable_line(path)} has no images or videos")
        elif os.path.exists(path):
            self._take(path, Path(path.stem))
        elif glob.has_magic(str(path)):
            self._add_matches(*_split(path), f"no file matches {printable_line(path)}")
        else:
            raise UserError(f"there is no file {printable_line(path)}")

    def _add_matches(self, base: Path, pattern: Sequence[str], otherwise: str) -> None:
        left_out: dict[str, list[Path]] = defaultdict(list)
        found = False
        for path in _visit(base, pattern, set()):
            if reason := self._reason_against(path):
                left_out[reason].append(path)
            elif not path.is_dir() and not path.name.startswith("."):
                found = True
                name = path.relative_to(base).with_name(path.stem)
                self._take(path, Path(path.stem) if ".." in name.parts else name)
        if not found:
            summary = Inputs(left_out=left_out).summary()
            raise UserError(otherwise + (f"; {summary}" if summary else ""))
        for reason, paths in left_out.items():
            self.inputs.left_out[reason].extend(paths)

    def _take(self, path: Path, name: Path) -> None:
        known = self._seen.setdefault(path.resolve(), path)
        if known is path:
            self.inputs.files.append((path, name))
        elif os.path.abspath(known) != os.path.abspath(path):
            self.inputs.left_out[_AGAIN].append(path)

    def _reason_against(self, path: Path) -> str | None:
        """Return why something is left out that a person gave; None if it is not left out, or was not given."""
        if path.is_dir():
            if not os.access(path, os.R_OK | os.X_OK):
                return _UNREADABLE
            return _FOLDER if not path.name.startswith(".") and self._holds_images(path) else None
        looks_right = is_image_file(path) or is_video(path)
        if path.name.startswith("."):
            return _HIDDEN if looks_right else None
        if not path.is_file():
            return _SPECIAL if os.path.exists(path) else _DANGLING
        if looks_right:
            return _RESULT if self._is_result(path) else None
        return _RAW if is_raw(path) else _NO_IMAGE

    def _is_result(self, path: Path) -> bool:
        """Return whether a file is named as a result, and the other result or the image is beside it."""
        stem = path.stem.removesuffix(PARTIAL)
        for ending, other in ((LABELS, OVERLAY), (OVERLAY, LABELS), (SHARES, LABELS)):
            if stem.endswith(ending):
                name = stem.removesuffix(ending)
                names = self._names_in(path.parent)
                return not names.isdisjoint((name, name + other, name + other + PARTIAL))
        return False

    def _names_in(self, folder: Path) -> set[str]:
        if folder not in self._names:
            names = os.listdir(folder)
            self._names[folder] = {*names, *(os.path.splitext(name)[0] for name in names)}
        return self._names[folder]

    def _holds_images(self, folder: Path) -> bool:
        """Return whether there are images or videos in a folder or below it, by their suffixes."""
        for count, (place, folders, names) in enumerate(os.walk(folder)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(place, name)
                if path.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) and not name.startswith("."):
                    if not self._is_result(path):
                        return True
            if count == _FOLDERS_SEARCHED:
                break
        return False


def _split(pattern: Path) -> tuple[Path, list[str]]:
    """Return the folder in front of the first part that has to be matched, and the parts from there on."""
    base = Path()
    for index, part in enumerate(pattern.parts):
        if index == len(pattern.parts) - 1 or (glob.has_magic(part) and not os.path.isdir(base / part)):
            return base, list(pattern.parts[index:])
        base /= part
    return base, ["*"]


def _visit(folder: Path, pattern: Sequence[str], entered: set[Path]) -> Iterator[Path]:
    """Yield what matches a pattern, in order, hidden files too; and folders that cannot be read."""
    part, rest = pattern[0], pattern[1:]
    if part == "**":
        yield from _visit_tree(folder, rest or ["*"], entered)
        return
    try:
        names = sorted(os.listdir(folder))
    except PermissionError:
        yield folder
        return
    except OSError:
        return
    for name in names:
        path = folder / name
        if name != part and not fnmatch.fnmatchcase(name, part):
            continue
        if not rest:
            yield path
        elif path.is_dir() and (name == part or not name.startswith(".")):
            yield from _visit(path, rest, entered)


def _visit_tree(folder: Path, rest: Sequence[str], entered: set[Path]) -> Iterator[Path]:
    """Yield what matches `rest` in a folder and all folders below it, each once, however links lead to it."""
    real = folder.resolve()
    if real in entered:
        return
    entered.add(real)
    for path in _visit(folder, rest, set()):
        if path == folder or not path.is_dir():  # the others are entered below
            yield path
    try:
        below = sorted(name for name in os.listdir(folder) if not name.startswith(".") and (folder / name).is_dir())
    except OSError:  # reported above
        return
    for name in below:
        yield from _visit_tree(folder / name, rest, entered)
