"""Generated scenes of cluttered waste: as files in ZeroWaste-f's folder layout, and as a pool in memory.

A scene is a pure function of (seed, index, size, difficulty), see `fanet.scenes`; so is everything here, whatever the
number of processes that draw it.
"""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from fanet.classes import ZEROWASTE
from fanet.errors import UserError, needs_extra
from fanet.files import make_folder
from fanet.images import write_png

Difficulty = float | Sequence[float]
Result = TypeVar("Result")

LAYOUT = "splits_final_deblurred"  # ZeroWaste-f's own folder name
SMALLEST_SIDE = 32  # pixels: below it a scene has no room for objects
DIFFICULTY_STREAM = 1  # sets the draw of a scene's difficulty apart from the draws inside the scene
FEWEST_PER_WORKER = 64  # scenes: below it, starting a process takes longer than drawing them


@dataclass(frozen=True)
class SceneSource:
    """Draws scene `index` of a series.

    Attributes:
        seed: the series.
        size: (height, width) in pixels.
        difficulty: 0..1 for all scenes, or (low, high), from which every index draws its own.

    Raises:
        UserError: a value out of range.
    """

    seed: int
    size: tuple[int, int]
    difficulty: float | tuple[float, float]

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"the seed of the scenes must not be negative, got {self.seed}")
        if len(self.size) != 2 or min(self.size) < SMALLEST_SIDE:
            raise UserError(
                f"the size of the scenes must be height and width of at least {SMALLEST_SIDE} pixels, got {self.size}"
            )
        bounds = self.difficulty if isinstance(self.difficulty, tuple) else (self.difficulty, self.difficulty)
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 1:
            raise UserError(f"the difficulty must be a number in 0..1 or [low, high] within it, got {self.difficulty}")

    @classmethod
    def of(cls, seed: int, size: int | Sequence[int], difficulty: Difficulty) -> "SceneSource":
        """From values as people write them: one side for a square, lists instead of tuples."""
        sides = (size, size) if isinstance(size, int) else tuple(size)
        level = tuple(difficulty) if isinstance(difficulty, Sequence) else float(difficulty)
        return cls(seed, sides, level)  # type: ignore[arg-type]

    def difficulty_of(self, index: int) -> float:
        """The difficulty of scene `index`."""
        if not isinstance(self.difficulty, tuple):
            return self.difficulty
        return float(np.random.default_rng([self.seed, index, DIFFICULTY_STREAM]).uniform(*self.difficulty))

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) uint8 RGB and labels (H, W) uint8 of scene `index`."""
        scene = _load_generator()
        return scene(self.seed, index, size=self.size, difficulty=self.difficulty_of(index))


class ClutterPool(torch.utils.data.Dataset):
    """Scenes 0..count-1 of a series, drawn once and held in memory.

    Attributes:
        images: (count, H, W, 3) uint8 RGB.
        labels: (count, H, W) uint8, indices into `fanet.classes.ZEROWASTE`.
    """

    def __init__(
        self, count: int, seed: int, size: int | Sequence[int], difficulty: Difficulty = 0.2, workers: int | None = None
    ) -> None:
        """Draws the scenes.

        Args:
            count: number of scenes.
            seed: the series; two pools of different seeds share no scene.
            size: side in pixels, or (height, width).
            difficulty: 0..1, or [low, high]: then every scene draws its own.
            workers: processes; None takes one a core, and 1 draws in this one.

        Raises:
            UserError: a value out of range, or OpenCV is missing.
        """
        source = SceneSource.of(seed, size, difficulty)
        _check_count(count)
        self.images = np.empty((count, *source.size, 3), dtype=np.uint8)
        self.labels = np.empty((count, *source.size), dtype=np.uint8)
        with _drawn(source, count, workers, "drawing scenes") as scenes:
            for index, (image, labels) in enumerate(scenes):
                self.images[index], self.labels[index] = image, labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) and labels (H, W) of one scene, uint8."""
        return self.images[index], self.labels[index]


def write_clutter(
    root: str | Path,
    count: int,
    seed: int,
    size: int | Sequence[int],
    difficulty: Difficulty = 0.2,
    split: str = "test",
    workers: int | None = None,
) -> Path:
    """Writes `count` scenes as `root/splits_final_deblurred/{split}/{data,sem_seg}/scene_000000.PNG`.

    Images are 8-bit RGB, masks 8-bit with one channel of class indices. `labels.json` beside them names the classes,
    lists the images and says how they were generated. The split appears under its name once it is complete.

    Args:
        root: the data set's folder; made if missing.
        count: number of scenes.
        seed: the series; two splits of different seeds share no scene.
        size: side in pixels, or (height, width).
        difficulty: 0..1, or [low, high]: then every scene draws its own.
        split: one folder name, in ZeroWaste-f train, val or test.
        workers: processes; None takes one a core, and 1 draws in this one.

    Returns:
        The folder of the split.

    Raises:
        UserError: a value out of range, OpenCV is missing, or the split exists.
    """
    source = SceneSource.of(seed, size, difficulty)
    _check_count(count)
    if not split or Path(split).name != split or split.startswith("."):
        raise UserError(f"a split needs a plain folder name such as test, got {split!r}")
    folder = Path(root) / LAYOUT / split
    if folder.exists():
        raise UserError(f"{folder} exists: choose another folder or split, or remove it first")
    unfinished = folder.with_name(f".{split}.{os.getpid()}")
    try:
        for name in ("data", "sem_seg"):
            make_folder(unfinished / name)
        with _drawn(partial(_write_scene, source, unfinished), count, workers, "writing scenes") as names:
            description = _describe(source, list(names))
        (unfinished / "labels.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write_scene(source: SceneSource, folder: Path, index: int) -> str:
    image, labels = source(index)
    name = f"scene_{index:06d}.PNG"
    write_png(folder / "data" / name, image)
    write_png(folder / "sem_seg" / name, labels)
    return name


def _describe(source: SceneSource, names: list[str]) -> dict:
    height, width = source.size
    return {
        "info": {
            "generator": "fanet.scenes",
            "seed": source.seed,
            "size": [height, width],
            "difficulty": source.difficulty,
            "count": len(names),
        },
        "categories": [{"id": index, "name": name} for index, name in enumerate(ZEROWASTE.names)],
        "images": [
            {"id": index, "file_name": name, "height": height, "width": width} for index, name in enumerate(names)
        ],
    }


def _check_count(count: int) -> None:
    if count < 1:
        raise UserError(f"the number of scenes must be at least 1, got {count}")


def _load_generator() -> Callable:
    with needs_extra("seg", "cv2"):
        from fanet.scenes import scene
    return scene


@contextmanager
def _drawn(
    function: Callable[[int], Result], count: int, workers: int | None, title: str
) -> Iterator[Iterator[Result]]:
    """`function(0)` … `function(count - 1)` in order, computed in parallel, with a progress bar."""
    _load_generator()  # a missing OpenCV is better told here than by a worker
    if workers is None:
        workers = min(os.cpu_count() or 1, count // FEWEST_PER_WORKER)
    progress = partial(tqdm, total=count, desc=title, unit="scene", dynamic_ncols=True)
    if workers <= 1:
        yield iter(progress(map(function, range(count))))
        return
    # Spawned, not forked: forking a process in which torch has started threads can hang.
    # Ctrl-C is this process's business: it waits for the scenes at hand and calls off the others.
    executor = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield iter(progress(executor.map(function, range(count), chunksize=4)))
    finally:
        executor.shutdown(cancel_futures=True)
