"""Which images belong to a split: those of a list, or a share of another split."""

import codecs
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath

from fanet.errors import UserError
from fanet.media.formats import IMAGE_SUFFIXES
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.walking import composed

# What separates the columns of a list.
_COLUMNS = re.compile(r"[\s,;]+")
# Values of a second column that is no file: in Pascal VOC's lists whether a class is in the image.
_FLAGS = ("-1", "0", "1")


def listed_images(root: Path, file: str, images: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the images that a text file names, one a line.

    A line is the name of an image with or without folder and suffix, its path, or two columns, an image and its mask.
    Blank lines and lines that start with `#` are left out.

    Args:
        root: The folder that holds `dataset.yaml`.
        file: The list, relative to `root`.
        images: The path of every image that the split could have, by its name.

    Returns:
        The images; the masks that the list names, by the name of the image; a line for each oddity.

    Raises:
        UserError: The list cannot be read, is empty, or names images that are missing or ambiguous.
    """
    path = root / file
    index = _Index(root, images)
    chosen: dict[str, str] = {}
    masks: dict[str, str] = {}
    missing, repeated, flagged = [], [], 0
    for line in _lines(path):
        name, second = index.find(line, path), ""
        if name is None:
            first, *more = _COLUMNS.split(line)
            name, second = index.find(first, path), more[0] if len(more) == 1 else ""
            if name is None or len(more) > 1:
                missing.append(line)
                continue
        if name in chosen:
            repeated.append(name)
        chosen[name] = images[name]
        if second in _FLAGS:
            flagged += 1
        elif second:
            masks[name] = second
    if missing:
        where = f"no image that `images` in {root / 'dataset.yaml'} stands for is called so"
        raise UserError(
            f"{path} names {len(missing)} of no image: {shortened(missing)}: {where}, with or without suffix"
        )
    if not chosen:
        raise UserError(f"{path} names no images: write one name a line")
    notes = [f"{path} names {len(repeated)} images more than once: {shortened(repeated)}"] if repeated else []
    if flagged:
        notes.append(f"{path} has numbers beside {flagged} names, which are not used: all of its images are taken")
    return chosen, masks, notes


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, ValueError):  # a name with a null character is a ValueError
        raise UserError(f"there is no file {path}, which `list` in dataset.yaml names") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell writes
    # file names need not be UTF-8, and Python gives their other bytes as surrogates
    text = content.decode("utf-16" if is_wide else "utf-8-sig", errors="replace" if is_wide else "surrogateescape")
    lines = (composed(line.strip().strip("\"'")) for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class _Index:
    """Finds images by the end of their path."""

    def __init__(self, root: Path, images: Mapping[str, str]) -> None:
        self.images = images
        self.by_end: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for name, path in images.items():
            whole = _inside(root, path)
            for parts in {whole.parts, whole.with_suffix("").parts}:
                self.by_end.setdefault(parts[-1], []).append((name, parts))

    def find(self, text: str, path: Path) -> str | None:
        """Return the name of the image that `text` means; None if there is none.

        Raises:
            UserError: It means several.
        """
        if text in self.images:
            return text
        wanted = PurePosixPath(text.replace("\\", "/"))
        found = self._matching(wanted)
        if not found and wanted.suffix.lower() in IMAGE_SUFFIXES:  # as that of the mask
            found = self._matching(wanted.with_suffix(""))
        if len(found) > 1:
            one, other, *_ = (self.images[name] for name in sorted(found))
            raise UserError(f"{path} names {text}, which may be {one} or {other}: write it with its folder")
        return found.pop() if found else None

    def _matching(self, wanted: PurePosixPath) -> set[str]:
        parts = tuple(part for part in wanted.parts if part not in ("/", ".", ".."))
        found: dict[int, set[str]] = {}
        for name, known in self.by_end.get(parts[-1] if parts else "", ()):
            common = min(len(parts), len(known))
            if parts[-common:] == known[-common:]:
                found.setdefault(common, set()).add(name)
        return found[max(found)] if found else set()


def _inside(root: Path, path: str) -> PurePosixPath:
    """Return a file's path relative to `root` if it is in it: data sets are moved, lists stay as they are."""
    file = Path(path)
    return PurePosixPath(composed((file.relative_to(root) if file.is_relative_to(root) else file).as_posix()))


def ends_alike(root: Path, wanted: str, path: str) -> bool:
    """Return whether a path as a list writes it can mean a file: the end of one is the other, suffix included.

    Args:
        root: The folder that holds `dataset.yaml`.
        wanted: The path in the list.
        path: The file.
    """
    parts = tuple(part for part in PurePosixPath(wanted.replace("\\", "/")).parts if part not in ("/", ".", ".."))
    known = _inside(root, path).parts
    common = min(len(parts), len(known))
    return common > 0 and parts[-common:] == known[-common:]


def deal(names: Sequence[str], shares: Mapping[str, tuple[float, int]], rest: str) -> dict[str, list[str]]:
    """Split off shares of images at random, the same for the same names and seeds whatever their order.

    Args:
        names: The names of the images.
        shares: The share of all images, and the seed, by the name of the split that gets them.
        rest: Name of the split that gets the others.

    Returns:
        The names of each split, sorted.

    Raises:
        UserError: A split would get no image.
    """
    left, dealt = sorted(names), {}
    for split, (share, seed) in shares.items():
        count = max(1, round(share * len(names)))
        shuffled = sorted(left, key=lambda name, seed=seed: _digest(seed, name))  # type: ignore[misc]
        dealt[split], left = sorted(shuffled[:count]), sorted(shuffled[count:])
    if not left or not all(dealt.values()):
        raise UserError(f"the {len(names)} images of the split {rest} are too few to split off {', '.join(shares)}")
    return {**dealt, rest: left}


def _digest(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}/{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
