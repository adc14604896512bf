"""Which annotations belong to which image: match what a file calls an image with the paths of the images."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from fanet.errors import UserError

# Label Studio puts eight hexadecimal digits before the name of an uploaded file.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
_LOCAL_FILE = "?d="  # it serves a local file as /data/local-files/?d=PATH


def match_names(
    listed: Sequence[str], images: Mapping[str, str], root: Path, where: str
) -> tuple[dict[str, str], list[str]]:
    """Find the image that each listed name means.

    A name that is the image's own, or its path from `root`, means that image. Other names mean the image that has the
    longest end of its path in common with them: folders and the file's name without suffix, compared in the same normal
    form of Unicode, with either kind of slash, and with `%20` and the like decoded.

    Args:
        listed: What the annotations call their images: different names, with suffix.
        images: The path of every image, by its name.
        root: The folder that holds `dataset.yaml`.
        where: How errors name what lists them.

    Returns:
        The listed name of each image that has one, by the image's name; and the listed names that were matched only by
        an end that does not take in all of them.

    Raises:
        UserError: A name may mean several images, or several names one image.
    """
    own = _own_names(images, root)
    found: dict[str, str] = {}
    rest: list[str] = []
    for entry in listed:
        name = own.get(_parts(entry)) or own.get(_without_suffix(_parts(entry)))
        if name is None:
            rest.append(entry)
        elif name not in found:
            found[name] = entry
        else:
            found[name] = _one_of(found[name], entry, images[name], where)
    taken = set(found)
    ends = {name: _without_suffix(_parts(Path(path).absolute().as_posix())) for name, path in images.items()}
    by_stem: dict[str, list[str]] = {}
    for name, parts in ends.items():
        if name not in taken:
            by_stem.setdefault(parts[-1], []).append(name)
    lengths: dict[str, int] = {}  # of the end that an image has in common with its entry
    partly = []
    for entry in rest:
        name, length, is_whole = _longest(entry, by_stem, ends, images, where)
        if name is None or length < lengths.get(name, 0):
            continue
        found[name] = _one_of(found[name], entry, images[name], where) if length == lengths.get(name) else entry
        lengths[name] = length
        if not is_whole:
            partly.append(entry)
    used = set(found.values())
    return found, [entry for entry in partly if entry in used]


def _own_names(images: Mapping[str, str], root: Path) -> dict[tuple[str, ...], str]:
    """Return the names of images by what names them in full: from the folder of images or from the root."""
    own: dict[tuple[str, ...], str] = {}
    for name, path in images.items():
        own[_parts(name)] = own[_parts(name + Path(path).suffix)] = name
        if Path(path).is_relative_to(root):
            relative = _parts(Path(path).relative_to(root).as_posix())
            own[relative] = name
            own.setdefault(_without_suffix(relative), name)
    return own


def _longest(
    entry: str,
    by_stem: Mapping[str, Sequence[str]],
    ends: Mapping[str, tuple[str, ...]],
    images: Mapping[str, str],
    where: str,
) -> tuple[str | None, int, bool]:
    """Find the image with the longest end in common, the length of that, and whether it takes in the whole entry."""
    for parts in _spellings(entry):
        lengths = {name: _common(parts, ends[name]) for name in by_stem.get(parts[-1], ())}
        if not lengths:
            continue
        longest = max(lengths.values())
        names = [name for name, length in lengths.items() if length == longest]
        if len(names) > 1:
            same_suffix = [name for name in names if _same_suffix(entry, images[name])]
            names = same_suffix if len(same_suffix) == 1 else names
        if len(names) > 1:
            raise UserError(
                f"{where}: {entry!r} may be {images[names[0]]} or {images[names[1]]}: "
                "write the folders of the image into its name there (file_name in COCO)"
            )
        return names[0], longest, longest == len(parts)
    return None, 0, False


def _one_of(first: str, second: str, image: str, where: str) -> str:
    """Return which of two entries for one image has its suffix."""
    same_suffix = [entry for entry in (first, second) if _same_suffix(entry, image)]
    if len(same_suffix) != 1:
        raise UserError(
            f"{where}: both {first!r} and {second!r} would be {image}: keep one of them, or write their folders in full"
        )
    return same_suffix[0]


def _same_suffix(entry: str, image: str) -> bool:
    return PurePosixPath(entry).suffix.lower() == Path(image).suffix.lower()


def _spellings(entry: str) -> Iterator[tuple[str, ...]]:
    """Yield what a listed name may mean, the likeliest first, as folders and stem."""
    decoded = unquote(entry)
    plain = decoded.partition("?")[0] if _LOCAL_FILE not in decoded else decoded.split(_LOCAL_FILE, 1)[1]
    seen = set()
    for text in (entry, decoded, plain):
        parts = _without_suffix(_parts(text))
        if parts:
            for spelling in (parts, (*parts[:-1], _UPLOAD.sub("", parts[-1]))):
                if spelling not in seen:
                    seen.add(spelling)
                    yield spelling


def _parts(name: str) -> tuple[str, ...]:
    normal = unicodedata.normalize("NFC", name).replace("\\", "/")
    return tuple(part for part in normal.split("/") if part not in ("", "."))


def _without_suffix(parts: tuple[str, ...]) -> tuple[str, ...]:
    return (*parts[:-1], PurePosixPath(parts[-1]).stem) if parts else ()


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the number of last parts that are the same."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
