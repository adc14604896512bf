"""Miniature photographs and labels, in the layouts in which people keep them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def photo(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """An image of large patches, so that neither compression nor shrinking changes its hash much."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(256, size=(8, 9, 3), dtype=np.uint8))
    return np.array(patches.resize(size[::-1], Image.Resampling.BILINEAR))


def labels(seed: int, classes: int = 3, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Background with a rectangle of each other class, (H, W) uint8."""
    rng, found = np.random.default_rng(seed), np.zeros(size, np.uint8)
    for index in range(1, classes):
        top, left = int(rng.integers(0, size[0] - 8)), (index - 1) * (size[1] // (classes - 1))
        found[top : top + 8, left : left + 7] = index
    return found


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path, **options)
    return path


def write_pairs(
    root: Path,
    names: Sequence[str],
    image: str = "images/{}.jpg",
    mask: str = "masks/{}.png",
    classes: int = 3,
    change: Callable[[np.ndarray], np.ndarray] = lambda found: found,
    first: int = 0,
) -> Path:
    """Write images and masks; places have `{}` for the name, and `change` turns class indices into what masks hold."""
    for number, name in enumerate(names, start=first):
        save(root / image.format(name), photo(number))
        save(root / mask.format(name), change(labels(number, classes)))
    return root


def words(count: int) -> list[str]:
    """Names that have no number in common."""
    return ["".join("abcdefghij"[int(digit)] for digit in f"{7919 * index % 100000:05d}") for index in range(count)]
