"""Tiles of noise that the materials are made of, and windows of them.

Good noise is slow to compute, so every kind is made once per process, from a fixed seed, and objects take random
windows of the tiles. The tiles are read-only because windows may be views.
"""

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

TILE = 256  # side of a tile in pixels
TILE_SEED = 61  # arbitrary, but another one changes all scenes


def _stretch_to_unit(values: np.ndarray) -> np.ndarray:
    """Scale values so that their 1st and 99th percentiles become 0 and 1, and clip them."""
    low, high = np.percentile(values, (1, 99))
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def cloud(rng: np.random.Generator, cells: int, octaves: int, persistence: float = 0.55) -> np.ndarray:
    """Make fractal noise in 0..1: octaves of smooth noise, the coarsest with `cells` cells across the tile."""
    total = np.zeros((TILE, TILE), np.float32)
    for octave in range(octaves):
        knots = min(TILE, cells * 2**octave) + 3
        coarse = rng.standard_normal((knots, knots), dtype=np.float32)
        total += persistence**octave * cv2.resize(coarse, (TILE, TILE), interpolation=cv2.INTER_CUBIC)
    return _stretch_to_unit(total)


def grain(rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Make fine noise of mean 0 and standard deviation about 0.7, blurred with `sigma` pixels."""
    noise = cv2.GaussianBlur(rng.standard_normal((TILE, TILE), dtype=np.float32), (0, 0), sigma)
    return 0.7 * noise / noise.std()


def ridge(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Make thin bright branching lines on 0, like the folds of a film: where a cloud crosses its middle value."""
    return np.clip(1 - 2.2 * np.abs(2 * cloud(rng, cells, octaves=4, persistence=0.5) - 1), 0, 1) ** 3


def crumple(rng: np.random.Generator, creases: int) -> np.ndarray:
    """Make the light on a crumpled sheet in 0..1: flat facets that meet at sharp creases.

    The height of the sheet is a sum of roofs |d|, each fading away from a point on its crease. A roof's slope is the
    sign of d, here softened to tanh, and the light is the slope of the sum in one direction.
    """
    rows, columns = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    rows, columns = rows + 10 * (cloud(rng, 4, 3) - 0.5), columns + 10 * (cloud(rng, 4, 3) - 0.5)
    light = np.zeros((TILE, TILE), np.float32)
    for _ in range(creases):
        angle, (row, column) = rng.uniform(0, 2 * math.pi), rng.uniform(0, TILE, 2)
        across, down = columns - np.float32(column), rows - np.float32(row)
        distance = math.cos(angle) * across + math.sin(angle) * down
        reach = (rng.uniform(0.12, 0.4) * TILE) ** 2
        slope = np.tanh(distance / rng.uniform(0.8, 3)) * np.exp(-(across**2 + down**2) / reach)
        light += (0.8 * math.cos(angle) + 0.6 * math.sin(angle)) * slope
    return _stretch_to_unit(light)


def print_page(rng: np.random.Generator, pitch: int) -> np.ndarray:
    """Make a printed page, 1 where it is blank and darker under the ink: images, and lines `pitch` pixels apart."""
    page = np.ones((TILE, TILE), np.float32)
    middle = TILE // 2
    columns = [(0, TILE)] if rng.random() < 0.5 else [(0, middle - 4), (middle + 4, TILE)]
    top = 1
    while top < TILE - pitch:
        if rng.random() < 0.06:
            left, right = columns[int(rng.integers(len(columns)))]
            bottom = min(TILE, top + int(rng.integers(6, 24)))
            speckle = rng.random((bottom - top, right - left - 4), dtype=np.float32)
            page[top:bottom, left + 2 : right - 2] = rng.uniform(0.15, 0.65) + 0.3 * speckle
            top = bottom + 2
            continue
        height = max(1, int(pitch * rng.uniform(0.4, 0.6)))
        for left, right in columns:
            _print_line(rng, page[top : top + height, left:right], pitch)
        top += pitch
    return cv2.GaussianBlur(page, (3, 3), 0.5)


def _print_line(rng: np.random.Generator, line: np.ndarray, pitch: int) -> None:
    """Fill a line of a page, in place, with words that end somewhere, often at the margin."""
    length, start = line.shape[1], int(rng.integers(1, 8))
    while start < length - 3:
        end = start + max(1, int(rng.integers(2, 6) * pitch / 2))
        line[:, start:end] = rng.uniform(0.1, 0.5)
        start = end + max(1, pitch // 2)
        if rng.random() < 0.03:
            break


def fibre(rng: np.random.Generator, length: int) -> np.ndarray:
    """Make horizontal streaks of mean 0 and standard deviation 1, about `length` pixels long."""
    return cv2.blur(rng.standard_normal((TILE, TILE), dtype=np.float32), (length, 1)) * math.sqrt(length)


# The function that makes the tiles of a kind, and the setting of each tile; settings listed twice are twice as likely.
_KINDS: dict[str, tuple[Callable[[np.random.Generator, float], np.ndarray], tuple[float, ...]]] = {
    "cloud": (lambda rng, cells: cloud(rng, int(cells), octaves=6), (2, 2, 2, 2, 2, 2)),
    "soft": (lambda rng, cells: cloud(rng, int(cells), octaves=2), (3, 3, 3, 3, 3, 3)),
    "grain": (grain, (0.5, 0.6, 0.8, 1.2)),
    "ridge": (lambda rng, cells: ridge(rng, int(cells)), (5, 8, 12, 16)),
    "crumple": (lambda rng, creases: crumple(rng, int(creases)), (30, 60, 60, 90, 90, 140)),
    "print": (lambda rng, pitch: print_page(rng, int(pitch)), (3, 4, 5, 7, 9)),
    "fibre": (lambda rng, length: fibre(rng, int(length)), (9, 15, 25)),
}


@cache
def tiles(kind: str) -> tuple[np.ndarray, ...]:
    """Return the read-only tiles (256, 256) float32 of a kind; each kind has its own seed.

    Kinds are `cloud`, `soft` (without fine structure), `crumple`, `ridge` and `print` in 0..1, `grain` and `fibre`
    around 0.
    """
    make, settings = _KINDS[kind]
    rng = np.random.default_rng([TILE_SEED, list(_KINDS).index(kind)])
    made = tuple(np.ascontiguousarray(make(rng, setting), np.float32) for setting in settings)
    for tile in made:
        tile.setflags(write=False)
    return made


def window(rng: np.random.Generator, kind: str, shape: tuple[int, int], stretch: float = 1.0) -> np.ndarray:
    """Return a random window (h, w) of a random tile of a kind, flipped at random, enlarged `stretch` times.

    A window larger than a tile is filled up with the mirror image of the tile.
    """
    choices = tiles(kind)
    tile = choices[int(rng.integers(len(choices)))]
    height, width = (max(2, math.ceil(side / stretch)) for side in shape)
    if height > TILE or width > TILE:
        more = (0, max(0, height - TILE), 0, max(0, width - TILE))
        tile = cv2.copyMakeBorder(tile, *more, cv2.BORDER_REFLECT_101)
    top = int(rng.integers(tile.shape[0] - height + 1))
    left = int(rng.integers(tile.shape[1] - width + 1))
    flips = int(rng.integers(4))
    cut = tile[top : top + height, left : left + width]
    cut = cut[:: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1]
    if cut.shape != tuple(shape):
        cut = cv2.resize(cut, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return cut
