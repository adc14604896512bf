"""Split validation images off, without dividing what belongs together."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from fanet.segmentation.data.survey.groups import Groups, members

SHARE = 0.2  # of the images that are split off
FEWEST = 5  # images, where there are enough
_LEAST, _MOST = 0.1, 0.35  # shares between which whole recordings are held out
_TRIES = 20  # choices by consecutive seeds, of which the one with the most classes on both sides is taken
_BLOCKS = 4  # contiguous blocks of one recording, at most


@dataclass(frozen=True)
class Deal:
    """Which images are split off.

    Attributes:
        val: Their numbers, sorted.
        note: How they were chosen.
    """

    val: list[int]
    note: str


def wanted_count(count: int) -> int:
    """Return how many of `count` images are split off: 20 %, or 5 if that is more, but at most a third; at least 1."""
    return max(1, round(SHARE * count), min(FEWEST, count // 3))


def deal_groups(names: Sequence[str], groups: Groups, classes: Sequence[Collection[int]], seed: int = 0) -> Deal:
    """Choose images to validate on.

    Whole recordings are held out where that gives between 10 and 35 % of the images, or with few images one. Otherwise
    frames are taken from recordings in contiguous blocks, without dividing images that look alike; if even these are
    too many, as in one long shot of a fixed camera, blocks of images.

    Args:
        names: The names of the images, two or more.
        groups: What belongs together.
        classes: The classes in each image.
        seed: Seed of the choice.
    """
    wanted = wanted_count(len(names))
    recordings, alike = members(groups.recordings), members(groups.alike)
    deals = [_whole(names, list(recordings.values()), classes, wanted, seed + number) for number in range(_TRIES)]
    chosen = [deal for deal in deals if _LEAST * len(names) <= len(deal) <= max(_MOST * len(names), 1)]
    if chosen:
        val = max(chosen, key=lambda deal: (_covered(deal, classes), -abs(len(deal) - wanted)))
        held = len({groups.recordings[image] for image in val})
        if len(recordings) == len(names):
            return Deal(sorted(val), "at random (no two images belong together)")
        return Deal(sorted(val), f"{held} of {len(recordings)} groups (recordings, copies, near-duplicates), undivided")
    fits = max(len(items) for items in alike.values()) <= _MOST * len(names)
    units = list(alike.values()) if fits else [[image] for image in range(len(names))]
    val = _blocks(names, units, wanted, seed)
    what = "are one recording" if len(recordings) == 1 else f"are {len(recordings)} recordings, too few to hold one out"
    kept = "" if fits else ", all of it alike,"
    return Deal(sorted(val), f"contiguous blocks: the images {what}{kept} so expect scores that are too good")


def _whole(
    names: Sequence[str], groups: Sequence[Sequence[int]], classes: Sequence[Collection[int]], wanted: int, seed: int
) -> list[int]:
    """Add those of the groups, in random order, that bring the number of images closer to `wanted`."""
    found: list[int] = []
    for group in sorted(groups, key=lambda group: _digest(seed, names[group[0]])):
        if abs(len(found) + len(group) - wanted) < abs(len(found) - wanted):
            found += group
    return found


def _covered(val: Collection[int], classes: Sequence[Collection[int]]) -> int:
    """Return how many classes both sides have; a class that training lacks counts twice."""
    inside = set().union(*(classes[image] for image in val))
    outside = set().union(*(classes[image] for image in range(len(classes)) if image not in set(val)))
    return len(inside) + 2 * len(outside)


def _blocks(names: Sequence[str], units: Sequence[Sequence[int]], wanted: int, seed: int) -> list[int]:
    """Take runs of consecutive units, spread over all of them from a place that the seed chooses."""
    ordered = sorted(units, key=lambda unit: natural(names[unit[0]]))
    count = sum(map(len, units))
    blocks = max(1, min(_BLOCKS, wanted // FEWEST))
    start = int.from_bytes(_digest(seed, "start")[:4], "big") / 2**32
    found: list[int] = []
    for block in range(blocks):
        place = int((block + start * (1 - SHARE)) / blocks * len(ordered))
        room = round(wanted * (block + 1) / blocks)
        while len(found) < room and place < len(ordered):
            unit = [image for image in ordered[place] if image not in found]
            if len(found) + len(unit) < count:
                found += unit
            place += 1
    return found


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `frame_2` before `frame_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _digest(seed: int, name: str) -> bytes:
    return blake2b(f"{seed}/{name}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
