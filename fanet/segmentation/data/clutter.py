"""Generated scenes of cluttered waste: drawn on the fly, and as files in ZeroWaste-f's folder layout.

A scene is a pure function of (seed, index, size, difficulty, causes), see `fanet.scenes`; so is everything here, with
any number of processes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, Union

import numpy as np

from fanet.classes import ZEROWASTE
from fanet.errors import UserError, needs_extra
from fanet.files import atomic_folder, atomic_path, make_folder
from fanet.media.images import write_png
from fanet.segmentation.data.dataset import Sample, SegmentationDataset, require_split
from fanet.segmentation.data.parallel import parallel_map
from fanet.segmentation.data.zerowaste import DESCRIPTION, IMAGES, LAYOUT, MASKS, SPLITS, ZeroWaste

if TYPE_CHECKING:
    from fanet.scenes import Causes

Difficulty = float | Sequence[float]
CausesLike = Union["Causes", Mapping[str, float]]
Result = TypeVar("Result")

SMALLEST_SIDE = 32  # pixels: a smaller scene has no room for objects
DIFFICULTY_STREAM = 1  # separates the draw of a scene's difficulty from the draws inside the scene
FEWEST_PER_WORKER = 64  # scenes: for fewer, starting a process takes longer than drawing them
# The default seed of each split: the splits share no scene.
SPLIT_SEEDS = {"train": 1, "val": 1000003, "test": 2000003}


@dataclass(frozen=True)
class SceneSource:
    """Draws scene `index` of a series.

    Attributes:
        seed: Seed of the series.
        size: (height, width) in pixels.
        difficulty: 0..1 for all scenes, or (low, high), from which each scene draws its own.
        causes: Those of controlled scenes; None for others.

    Raises:
        UserError: A value is out of range.
    """

    seed: int
    size: tuple[int, int]
    difficulty: float | tuple[float, float]
    causes: "Causes | None" = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"the seed of the scenes must not be negative, got {self.seed}")
        if len(self.size) != 2 or min(self.size) < SMALLEST_SIDE:
            raise UserError(
                f"the scene size must be a height and a width of at least {SMALLEST_SIDE} pixels, got {self.size}"
            )
        bounds = self.difficulty if isinstance(self.difficulty, tuple) else (self.difficulty, self.difficulty)
        if len(bounds) != 2 or not 0 <= bounds[0] <= bounds[1] <= 1:
            raise UserError(f"the difficulty must be a number in 0..1 or [low, high] within it, got {self.difficulty}")

    @classmethod
    def of(
        cls, seed: int, size: int | Sequence[int], difficulty: Difficulty, causes: CausesLike | None = None
    ) -> "SceneSource":
        """Build it from values as people write them: one side for a square, lists instead of tuples.

        Raises:
            UserError: A value is out of range, there is no cause of a name, or objects would be too small to draw.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        level = tuple(difficulty) if isinstance(difficulty, Sequence) else float(difficulty)
        source = cls(seed, sides, level)  # type: ignore[arg-type]
        if causes is None:
            return source
        with needs_extra("seg", "cv2"):
            from fanet.scenes import Causes
        try:
            known = Causes.of(causes)
            known.size_in(source.size)
        except ValueError as error:
            raise UserError(str(error)) from error
        return replace(source, causes=known)

    def difficulty_of(self, index: int) -> float:
        """Return the difficulty of scene `index`."""
        if not isinstance(self.difficulty, tuple):
            return self.difficulty
        return float(np.random.default_rng([self.seed, index, DIFFICULTY_STREAM]).uniform(*self.difficulty))

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw scene `index`: image (H, W, 3) uint8 RGB and labels (H, W) uint8."""
        scene = _load_generator()
        causes = {} if self.causes is None else {"causes": self.causes}
        return scene(self.seed, index, size=self.size, difficulty=self.difficulty_of(index), **causes)


class ClutterScenes(SegmentationDataset, kind="clutter"):
    """Scenes 0..count-1 of a series, drawn on every access: nothing is stored."""

    classes = ZEROWASTE

    def __init__(
        self,
        split: str,
        count: int = 500,
        seed: int | None = None,
        size: int | Sequence[int] = 256,
        difficulty: Difficulty = 0.2,
        causes: CausesLike | None = None,
    ) -> None:
        """
        Args:
            split: `train`, `val` or `test`; each has its own seed.
            count: Number of scenes.
            seed: Seed of the series, instead of the split's.
            size: Side in pixels, or (height, width).
            difficulty: 0..1, or [low, high]: then each scene draws its own.
            causes: Draw controlled scenes, with these values of `fanet.scenes.Causes`: `{"occlusion": 0.5}`.

        Raises:
            UserError: A value is out of range, or OpenCV is missing.
        """
        require_split(split, list(SPLIT_SEEDS), "generated scenes have")
        _check_count(count)
        _load_generator()
        self.source = SceneSource.of(SPLIT_SEEDS[split] if seed is None else seed, size, difficulty, causes)
        self.names = [_scene_name(index) for index in range(count)]

    @classmethod
    def located(cls, root: str | Path | None) -> type[SegmentationDataset]:
        return cls if root is None else WrittenScenes

    @staticmethod
    def splits() -> list[str]:
        """Return the names of the splits."""
        return list(SPLITS)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return Sample(self.names[index], *self.load(index))

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.source(index)

    def load_image(self, index: int) -> np.ndarray:
        return self.source(index)[0]

    def load_labels(self, index: int) -> np.ndarray:
        return self.source(index)[1]


class WrittenScenes(ZeroWaste):
    """Scenes that `write_clutter` wrote, in ZeroWaste-f's layout."""

    def __init__(self, root: str | Path, split: str, strict: bool = True) -> None:
        """Take the arguments of `ZeroWaste` except `verify`: no archive of scenes was published."""
        super().__init__(root, split, verify=False, strict=strict)

    @staticmethod
    def splits(root: str | Path, verify: bool = False) -> list[str]:
        return ZeroWaste.splits(root, verify)

    def oddities(self, split: str) -> list[str]:
        return self.listing_oddities()


def write_clutter(
    root: str | Path,
    count: int,
    seed: int,
    size: int | Sequence[int],
    difficulty: Difficulty = 0.2,
    split: str = "test",
    workers: int | None = None,
) -> Path:
    """Write `count` scenes as `root/splits_final_deblurred/{split}/{data,sem_seg}/scene_000000.PNG`.

    Images are 8-bit RGB, masks 8-bit with one channel of class indices. `labels.json` next to them names the classes,
    lists the images and says how they were generated. The split gets its name once it is complete.

    Args:
        root: The data set's folder, created if missing.
        count: Number of scenes.
        seed: Seed of the series; splits with different seeds share no scene.
        size: Side in pixels, or (height, width).
        difficulty: 0..1, or [low, high]: then each scene draws its own.
        split: A plain folder name, in ZeroWaste-f `train`, `val` or `test`.
        workers: Number of processes; by default one per core, and 1 draws in this process.

    Returns:
        The folder of the split.

    Raises:
        UserError: A value is out of range, OpenCV is missing, or the split exists.
    """
    source = SceneSource.of(seed, size, difficulty)
    _check_count(count)
    _load_generator()  # a missing OpenCV should show before any folder is made
    if not split or Path(split).name != split or split.startswith("."):
        raise UserError(f"a split must be a plain folder name such as test, got {split!r}")
    folder = Path(root) / LAYOUT / split
    if folder.exists():
        raise UserError(f"{folder} exists: choose another folder or split, or remove it first")
    with atomic_folder(folder) as unfinished:
        for name in (IMAGES, MASKS):
            make_folder(unfinished / name)
        with _scenes(partial(_write_scene, source, unfinished), count, workers, "writing scenes") as names:
            description = _describe(source, list(names))
        with atomic_path(unfinished / DESCRIPTION) as path:
            path.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    return folder


def _scene_name(index: int) -> str:
    return f"scene_{index:06d}.PNG"


def _write_scene(source: SceneSource, folder: Path, index: int) -> str:
    image, labels = source(index)
    name = _scene_name(index)
    write_png(folder / IMAGES / name, image)
    write_png(folder / MASKS / name, labels)
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


def _scenes(
    function: Callable[[int], Result], count: int, workers: int | None, title: str
) -> AbstractContextManager[Iterator[Result]]:
    _load_generator()  # a missing OpenCV should show here, not in a worker
    return parallel_map(function, count, title, "scene", workers, FEWEST_PER_WORKER)
