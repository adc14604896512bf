"""Which images belong together, so that a split must not divide them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fanet.errors import needs_extra

with needs_extra("seg", "cv2"):
    import cv2

NEAR = 4  # bits of 64: hashes of images that look alike differ in no more; of unrelated ones in 32 on average
_DATE = re.compile(r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])")
# What programs append to the name of an augmented or copied image: Roboflow's `.rf.HASH`, `_aug3`, `_flip`, ` (1)`.
_ROBOFLOW = re.compile(r"\.rf\.[0-9a-f]{8,}$")
_COPY = re.compile(
    r"(?:[_\-. ](?:aug(?:mented)?|copy|flip(?:ped)?|[hv]flip|mirror(?:ed)?|rot(?:ated)?|crop|blur|noise|bright|dark)"
    r"[_\-]?\d*|\s*\(\d+\))+$",
    re.IGNORECASE,
)
_HEX = re.compile(r"[_\-.]([0-9a-f]{6,40})$")


@dataclass(frozen=True)
class Groups:
    """Two partitions of images, as the number of each image's group.

    Attributes:
        alike: Augmented copies of one image, and images that look alike.
        recordings: Those together with frames of one recording.
    """

    alike: Sequence[int]
    recordings: Sequence[int]


def group_images(names: Sequence[str], hashes: Sequence[int]) -> Groups:
    """Find the images that belong together.

    Augmented copies have the same name but for what programs append to it; near-duplicates have hashes that differ in
    at most `NEAR` bits. Frames of a recording are in a folder of their own, or have a name in common that is followed
    by a running number or by a date and time.

    Args:
        names: The names of the images, with folders but without suffix.
        hashes: `difference_hash` of each.
    """
    originals = _originals(names)
    alike = _Sets(len(names))
    alike.join_equal(originals)
    alike.join_equal(near_groups(hashes))
    together = _Sets(len(names))
    together.join_equal(alike.roots())
    together.join_equal(_recordings(originals))
    return Groups(alike.roots(), together.roots())


def difference_hash(image: np.ndarray) -> int:
    """Return 64 bits that say where an image, shrunk to 9x8 grey pixels, becomes brighter from left to right.

    (H, W, C) uint8 -> a whole number below 2^64. Images that look alike have hashes that differ in few bits. Plain
    images, which have no brighter side, get 0.
    """
    small = cv2.resize(np.ascontiguousarray(image), (9, 8), interpolation=cv2.INTER_AREA)
    small = small.reshape(8, 9, -1).astype(np.int32).sum(axis=2)
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big")


def near_groups(hashes: Sequence[int], most: int = NEAR) -> list[int]:
    """Return the number of the group of each image, where images whose hashes differ in few bits are in one group.

    Plain images, of hash 0, are in a group of their own.

    Args:
        hashes: A hash of 64 bits for each image.
        most: Bits in which neighbours differ, at most.
    """
    sets = _Sets(len(hashes))
    first: dict[int, int] = {}
    for item, each in enumerate(hashes):
        if each:
            sets.join(first.setdefault(each, item), item)
    items, bits = list(first.values()), np.array(list(first), dtype=np.uint64)
    ones = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)
    # of one more bands than bits may differ, one is the same in both: only hashes that have one in common are compared
    width = -(-64 // (most + 1))
    for band in range(most + 1):
        keys = bits >> np.uint64(band * width) & np.uint64((1 << width) - 1)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            for place, one in enumerate(bucket[:-1], start=1):
                differing = (bits[bucket[place:]] ^ bits[one]).view(np.uint8).reshape(-1, 8)
                for other in bucket[place:][ones[differing].sum(axis=1) <= most]:
                    sets.join(items[one], items[other])
    return sets.roots()


def _originals(names: Sequence[str]) -> list[str]:
    """Return the name of what each image is a copy of; its own if it is no copy."""
    bare = [_COPY.sub("", _ROBOFLOW.sub("", name)) or name for name in names]
    tails = [_HEX.search(name) for name in bare]
    lengths = {len(tail[1]) for tail in tails if tail is not None}
    has_letters = sum(tail is not None and not tail[1].isdigit() for tail in tails)
    # digits alone may be a number; but where most names end in letters and digits of one length, all of them are hashes
    if len(lengths) == 1 and has_letters * 2 > len(names):
        bare = [name[: tail.start()] if tail else name for name, tail in zip(bare, tails, strict=True)]
    return bare


def _recordings(names: Sequence[str]) -> list[str]:
    """Return the name of the recording of each image; its own name if it is of none."""
    folders = {name.rpartition("/")[0] for name in names}
    if len(folders) > 1:
        return [name.rpartition("/")[0] for name in names]
    found = {name: name[: match.end()] for name in names if (match := _DATE.search(name)) is not None}
    by_form: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for name in names if name not in found):
        by_form.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    for form, of_form in by_form.items():
        found |= _numbered(form, of_form)
    return [found[name] for name in names]


def _numbered(form: str, names: Sequence[str]) -> dict[str, str]:
    """Return the recording of names that differ in their numbers only.

    The last number counts the frames; so do numbers before it as long as they leave most frames on their own.
    """
    numbers = {name: tuple(re.findall(r"\d+", name)) for name in names}
    kept = len(next(iter(numbers.values()))) - 1
    if kept < 0:
        return {name: name for name in names}
    while kept and len({numbers[name][:kept] for name in names}) * 2 > len(names):
        kept -= 1
    return {name: f"{form}/{'/'.join(numbers[name][:kept])}" for name in names}


class _Sets:
    """Disjoint sets of the numbers 0 … count - 1, joined one by one (union-find)."""

    def __init__(self, count: int) -> None:
        self.parents = list(range(count))

    def root(self, item: int) -> int:
        while self.parents[item] != item:
            self.parents[item] = item = self.parents[self.parents[item]]
        return item

    def roots(self) -> list[int]:
        return [self.root(item) for item in range(len(self.parents))]

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parents[high] = low

    def join_equal(self, keys: Sequence[object]) -> None:
        first: dict[object, int] = {}
        for item, key in enumerate(keys):
            self.join(first.setdefault(key, item), item)


def members(groups: Sequence[int]) -> Mapping[int, list[int]]:
    """Return the images of each group, in order."""
    found: dict[int, list[int]] = {}
    for item, group in enumerate(groups):
        found.setdefault(group, []).append(item)
    return found
