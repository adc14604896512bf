"""Find the images and masks of a split, and which of them belong together."""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fanet.errors import UserError, counted
from fanet.media.images import is_image_file
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.walking import File, Folder, child, composed, walk

#: Stands for the name of an image in a pattern.
NAME = "{name}"
# The last dot of a pattern's part and what follows it, unless the dot is inside brackets.
_SUFFIX = re.compile(r"\.(?:[^.\[\]]|\[[^\]]*\])*$")


@dataclass(frozen=True)
class Found:
    """Files by the name of the image that they belong to.

    Attributes:
        files: Their paths.
        notes: A line for each kind of files that were left out, with their number.
    """

    files: Mapping[str, str]
    notes: tuple[str, ...] = ()


def pair_files(
    images: Mapping[str, str], masks: Mapping[str, str]
) -> tuple[list[tuple[str, str, str]], list[str], list[str]]:
    """Pair images and masks that have the same key.

    Returns:
        (key, image, mask) in the order of the keys; images without a mask; masks without an image.
    """
    pairs = [(key, images[key], masks[key]) for key in sorted(images.keys() & masks.keys())]
    return (
        pairs,
        [images[key] for key in sorted(images.keys() - masks.keys())],
        [masks[key] for key in sorted(masks.keys() - images.keys())],
    )


def find_images(root: Path, pattern: str, beside: Sequence[str] = ()) -> Found:
    """Return the path of every image that a folder or pattern stands for, by its name.

    Args:
        root: The folder that `pattern` is relative to.
        pattern: A folder, a glob pattern, or a path in which `{name}` stands for the name of an image.
        beside: Suffixes of label files, which are not reported as left out.

    Raises:
        UserError: There is no such folder, or two images would have one name.
    """
    return _find(root, pattern, "images", beside)


def find_masks(root: Path, pattern: str, images: Mapping[str, str]) -> Found:
    """Return the path of every mask, by the name of its image.

    Args:
        root: The folder that `pattern` is relative to.
        pattern: A folder, a glob pattern, or a path in which `{name}` stands for the name of an image.
        images: The path of every image, by its name.

    Raises:
        UserError: There is no such folder, or two masks would belong to one image.
    """
    if NAME not in pattern or glob.has_magic(pattern.replace(NAME, "")):
        return _find(root, pattern, "masks")
    return Found(find_named(root, pattern, images, "masks"))


def find_named(root: Path, pattern: str, images: Mapping[str, str], key: str) -> dict[str, str]:
    """Return the path of each image's file, by the image's name, where it exists.

    Args:
        root: The folder that `pattern` is relative to.
        pattern: A path in which `{name}` stands for the name of an image.
        images: The path of every image, by its name.
        key: The key of a split that holds the pattern, for errors.

    Raises:
        UserError: Two files would belong to one image.
    """
    folders: dict[PurePosixPath, dict[tuple[str, str], list[str]]] = {}
    found = {}
    for name in images:
        wanted = PurePosixPath(pattern.replace(NAME, name))
        if wanted.parent not in folders:
            folders[wanted.parent] = _by_name(_inside(root, wanted.parent))
        files = folders[wanted.parent].get(_key(wanted.name), [])
        if len(files) > 1:
            raise _ambiguous(files[0], files[1], name, key, pattern)
        if files:
            found[name] = files[0]
    return found


def fixed_folder(root: Path, pattern: str) -> tuple[Path, list[str]]:
    """Return the folder that a pattern starts with, and the parts of the pattern inside it.

    A part is a folder if there is one of that name, whatever characters are in it.

    Raises:
        UserError: There is no such folder.
    """
    parts = Path(pattern).parts
    if "\\" in pattern and not os.path.exists(root / pattern):
        parts = Path(pattern.replace("\\", "/")).parts  # as Windows writes paths
    base = root
    for index, part in enumerate(parts):
        inside = child(base, part)
        if inside is not None and inside.is_dir():
            base = inside
        elif NAME in part or glob.has_magic(part):
            return base, list(parts[index:])
        else:
            raise _no_folder(base, part, inside is not None, root)
    return base, []


def _find(root: Path, pattern: str, key: str, beside: Sequence[str] = ()) -> Found:
    base, rest = fixed_folder(root, pattern)
    try:
        matcher = _matcher(rest or ["*"])
    except re.error as error:
        raise UserError(f"{root / 'dataset.yaml'}: {key} {pattern!r} is not a valid pattern ({error})") from error
    unlimited = any(part == "**" or NAME in part for part in rest)
    folder = walk(base, None if unlimited else max(1, len(rest)))
    files: dict[str, str] = {}
    other = []
    for file in folder.files:
        match = matcher.fullmatch(file.name)
        if match is None:
            continue
        if not is_image_file(Path(file.path)):
            if PurePosixPath(file.name).suffix.lower() not in beside:
                other.append(file.name)
            continue
        name = match["name"] if NAME in pattern else PurePosixPath(file.name).with_suffix("").as_posix()
        if name in files:
            raise _ambiguous(files[name], file.path, name, key, pattern)
        files[name] = file.path
    return Found(files, tuple(f"{key}: {line}" for line in _left_out(folder, other, pattern if not rest else None)))


def _left_out(folder: Folder, other: list[str], plain: str | None) -> list[str]:
    """Return a line for each kind of files that were left out; `plain` is the folder if it is not a pattern."""
    lines = []
    deeper = sum(is_image_file(Path(file.path)) for below in folder.deeper for file in walk(below, None).files)
    if deeper and plain is not None:
        lines.append(
            f"{counted(deeper, 'image')} in subfolders of {plain} left out: the pattern "
            f'"{plain.rstrip("/")}/**/*" takes them'
        )
    for names, what in (
        (other, "no images"),
        (folder.hidden, "hidden"),
        (folder.dangling, "linked to nothing"),
        (folder.circular, "linked to a folder around it"),
    ):
        if names:
            lines.append(f"{counted(len(names), 'file')} left out ({what}): {shortened(names)}")
    return lines


def _matcher(parts: list[str]) -> re.Pattern[str]:
    """Compile the parts of a pattern to one for paths with forward slashes; suffixes match in any case."""
    if parts[-1] == "**":
        parts = [*parts, "*"]
    text, named = "", False
    for index, part in enumerate(parts):
        if part == "**":
            text += "(?:[^/]+/)*"
            continue
        pieces = composed(part).split(NAME)
        for number, piece in enumerate(pieces):
            if number:
                text += "(?P=name)" if named else "(?P<name>.+)"
                named = True
            is_last = index == len(parts) - 1 and number == len(pieces) - 1
            suffix = _SUFFIX.search(piece) if is_last else None
            stem = piece[: suffix.start()] if suffix else piece
            text += _regex(stem) + (f"(?i:{_regex(suffix[0])})" if suffix else "")
        text += "/" if index < len(parts) - 1 else ""
    return re.compile(text)


def _regex(piece: str) -> str:
    """Translate a piece of a glob pattern that has no slash."""
    text = ""
    for token in re.findall(r"\[!?[^]]+\]|.", piece, flags=re.DOTALL):
        if len(token) > 1:
            text += "[" + ("^" if token[1] == "!" else "") + token[1:-1].lstrip("!").replace("\\", "\\\\") + "]"
        else:
            text += {"*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))
    return text


def _inside(root: Path, folder: PurePosixPath) -> Path | None:
    """Return a folder inside `root`, whatever the normal form of its name on the disk; None if there is none."""
    place: Path | None = root
    for part in folder.parts:
        place = child(place, part) if place is not None else None
    return place


def _by_name(folder: Path | None) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    files: list[File] = walk(folder, 1).files if folder is not None and folder.is_dir() else []
    for file in files:
        found.setdefault(_key(file.name), []).append(file.path)
    return found


def _key(name: str) -> tuple[str, str]:
    path = PurePosixPath(composed(name))
    return path.stem, path.suffix.lower()


def _ambiguous(one: str, other: str, name: str, key: str, pattern: str) -> UserError:
    folder = pattern.rstrip("/") if NAME not in pattern and not glob.has_magic(pattern) else "FOLDER"
    end = Path(one).suffix
    choice = f"{key}: {folder}/*{end}" if key == "images" else f"{key}: {folder}/{NAME}{end}"
    return UserError(
        f"{one} and {other} would both be called {name}: keep one of them, or write {choice} to take those in {end}"
    )


def _no_folder(base: Path, part: str, is_file: bool, root: Path) -> UserError:
    config = root / "dataset.yaml"
    if is_file:
        return UserError(f"{base / part} is a file, but {config} must name a folder or a pattern such as '*.png'")
    if not base.is_dir():
        return UserError(f"there is no folder {base}, which holds {config}")
    there = sorted(entry.name for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    hint = f"the folders in {base} are {shortened(there)}" if there else f"{base} has no folders"
    return UserError(f"there is no folder {base / part}, which {config} names: {hint}")
