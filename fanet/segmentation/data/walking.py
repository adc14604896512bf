"""Walk through folders: links are followed, and nothing is passed over without being listed."""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fanet.errors import UserError
from fanet.files import UNFINISHED


class File(NamedTuple):
    """A file: its name relative to the folder, with forward slashes and composed characters, and its path."""

    name: str
    path: str


@dataclass
class Folder:
    """What is in a folder.

    Attributes:
        files: The visible files, sorted by name.
        deeper: The visible folders that are too deep.
        hidden: Names of hidden files and folders, but for files that are being written; those inside hidden folders are
            not listed.
        dangling: Names of links whose target is missing, and of what is neither a file nor a folder.
        circular: Names of links to a folder that they are in.
    """

    files: list[File] = field(default_factory=list)
    deeper: list[Path] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    circular: list[str] = field(default_factory=list)


def composed(name: str) -> str:
    """Return a name in the composed normal form (NFC): systems differ in how they store accents."""
    return unicodedata.normalize("NFC", name)


def child(folder: Path, name: str) -> Path | None:
    """Return the entry of a folder with a name in any normal form; None if there is none."""
    direct = folder / name
    if os.path.lexists(direct):
        return direct
    if name.isascii() or not folder.is_dir():
        return None
    return next((entry for entry in folder.iterdir() if composed(entry.name) == composed(name)), None)


def walk(base: Path, depth: int | None) -> Folder:
    """List what is in a folder, following links.

    Args:
        base: The folder.
        depth: How deep to go, 1 for the files directly in it; None for no limit.

    Raises:
        UserError: A folder cannot be read.
    """
    found = Folder()
    _walk(base, "", depth, found, ())
    found.files.sort()
    return found


def _walk(folder: Path, prefix: str, depth: int | None, found: Folder, around: tuple[tuple[int, int], ...]) -> None:
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read the folder {folder}: {error.strerror}") from error
    around = (*around, (status.st_dev, status.st_ino))
    for entry in listed:
        try:
            _sort_in(entry, prefix + composed(entry.name), depth, found, around)
        except OSError as error:
            raise UserError(f"cannot read {entry.path}: {error.strerror}") from error


def _sort_in(
    entry: os.DirEntry, name: str, depth: int | None, found: Folder, around: tuple[tuple[int, int], ...]
) -> None:
    """Add an entry of a folder, and what is in it, to what was found."""
    if entry.name.startswith("."):
        if not entry.name.startswith(UNFINISHED):
            found.hidden.append(name)
    elif entry.is_file():
        found.files.append(File(name, entry.path))
    elif not entry.is_dir():
        found.dangling.append(name)
    elif depth == 1:
        found.deeper.append(Path(entry.path))
    elif entry.is_symlink() and _identity(entry.path) in around:
        found.circular.append(name)
    else:
        _walk(Path(entry.path), f"{name}/", None if depth is None else depth - 1, found, around)


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
