"""What the page segments: files that were dropped, within limits, and generated scenes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fanet.errors import UserError, needs_extra, printable_line
from fanet.media.channels import read_channels
from fanet.media.formats import is_video
from fanet.media.size import read_size

with needs_extra("seg", "cv2"):
    from fanet.scenes import Causes, scene
    from fanet.scenes.causes import RANGES

MOST_BYTES = 32 << 20  # of a file
MOST_PIXELS = 16 * 10**6  # of an image
MOST_FILES = 20
# Probabilities of an image, of which there are one for each class and pixel: 512 MB while they are computed.
_MOST_PROBABILITIES = 1 << 27

SCENE_SIDE = 384  # pixels: the size on which the model `clutter` was trained


@dataclass(frozen=True, eq=False)
class Source:
    """An image to be segmented.

    Attributes:
        name: What its results are called.
        pixels: (H, W, C) uint8.
        truth: (H, W) class indices of a generated scene, None of a file.
    """

    name: str
    pixels: np.ndarray
    truth: np.ndarray | None = None


def read_upload(path: str | Path, channels: int, classes: int) -> Source:
    """Read a file that was dropped, if it is within the limits.

    Args:
        path: The file.
        channels: Number of channels that the model takes.
        classes: Number of classes that the model tells apart.

    Raises:
        UserError: It is too large, not an image, or damaged; the message names the file without its folder.
    """
    path = Path(path)
    with naming([path]):
        _check(path, classes)
        return Source(path.stem, read_channels(path, channels))


def check_uploads(paths: Sequence[str | Path], classes: int) -> list[Path]:
    """Return the paths of files, if all are images within the limits.

    Raises:
        UserError: One is not, or there are too many.
    """
    if len(paths) > MOST_FILES:
        raise UserError(f"these are {len(paths)} images, the page takes {MOST_FILES}: fanet predict takes any number")
    with naming(paths):
        for path in map(Path, paths):
            _check(path, classes)
    return [Path(path) for path in paths]


def draw_scene(seed: int, difficulty: float, causes: dict[str, float] | None = None) -> Source:
    """Draw a scene with its true classes.

    Args:
        seed: Which scene, 0 or above.
        difficulty: 0..1.
        causes: The value of each cause of clutter in a controlled scene, as for `fanet.scenes.scene`.
    """
    pixels, truth = scene(seed, 0, SCENE_SIDE, difficulty, causes)
    return Source(f"scene_{seed}", pixels, truth)


def ranges() -> dict[str, tuple[float, float, float]]:
    """Return the lowest, the highest and the usual value of each cause of clutter, the middle if it has none."""
    found = {}
    for name, (low, high) in RANGES.items():
        usual = getattr(Causes(), name)
        found[name] = low, high, (low + high) / 2 if usual is None else float(usual)
    return found


def without_folders(text: str, paths: Sequence[str | Path]) -> str:
    """Return a line that names files as the user does, not by where they were stored."""
    for path in map(Path, paths):
        text = text.replace(str(path), path.name)
    return printable_line(text)


@contextmanager
def naming(paths: Sequence[str | Path]) -> Iterator[None]:
    """Let errors of the user within the block name files as the user does, not by where they were stored."""
    try:
        yield
    except UserError as error:
        raise UserError(without_folders(str(error), paths)) from error


def _check(path: Path, classes: int) -> None:
    """Check a file by its size and its header; nothing is decoded."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UserError(f"{path} has {size / 2**20:.0f} MB, the page takes {MOST_BYTES >> 20}: save it smaller")
    if is_video(path):
        raise UserError(f"{path} is a video, the page takes images: fanet predict takes videos")
    height, width = read_size(path)
    most = min(MOST_PIXELS, _MOST_PROBABILITIES // classes)
    if height * width > most:
        why = "" if most == MOST_PIXELS else f" with {classes} classes"
        found = math.ceil(height * width / 1e5) / 10  # one pixel too many is not the limit
        raise UserError(
            f"{path} has {found:.1f} million pixels, the page takes {most / 1e6:.1f} million{why}: reduce it, "
            "or use fanet predict --window 1024 1024"
        )
