"""Generated images of cluttered waste on a sorting belt, with exact labels.

For trying out and teaching, and for training without a data set. The labels are those of `fanet.classes.ZEROWASTE`.
Each material has a module of its name; `composition` places the objects on the belt, `controlled` does so with one
number for each cause of clutter, and `camera` photographs it. Needs OpenCV.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from fanet.errors import needs_extra
from fanet.scenes.causes import Causes

with needs_extra("seg", "cv2"):
    import cv2

    from fanet.scenes.camera import photograph
    from fanet.scenes.composition import compose, magnification
    from fanet.scenes.controlled import controlled_scene
    from fanet.scenes.draw import Draw

__all__ = ["Causes", "scene"]

SHORTEST_SIDE = 32  # pixels; below this, objects cannot be told apart


def scene(
    seed: int,
    index: int,
    size: int | tuple[int, int] = 128,
    difficulty: float = 0.2,
    causes: Causes | Mapping[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene: image (H, W, 3) uint8 RGB, labels (H, W) uint8, indices into `ZEROWASTE.names`.

    The result depends on the arguments only: not on earlier scenes, processes or threads. Other versions of NumPy or
    OpenCV, or another type of processor, may round a few pixels differently.

    Args:
        seed: A series of scenes, 0 or above.
        index: A scene of the series, 0 or above.
        size: In pixels, one number for a square or height and width, at least 32. Frames whose short side is longer
            than 256 show the same view in more pixels.
        difficulty: 0..1; a higher one makes classes more alike in colour, films thinner, creases weaker, background
            clutter more like the classes, and objects smaller and more numerous.
        causes: Draw a controlled scene instead, in which each cause of clutter has a value, by the names of `Causes`:
            `{"occlusion": 0.5}`. Two controlled scenes of one seed, index and size are the same but for their causes.
            Difficulty then has no effect on the size and number of objects.

    Raises:
        ValueError: A number is out of range, or there is no cause of a name.
    """
    height, width = (size, size) if isinstance(size, (int, np.integer)) else size
    if min(height, width) < SHORTEST_SIDE:
        raise ValueError(f"a scene must have sides of at least {SHORTEST_SIDE} pixels, got {height} x {width}")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty must be in 0..1, got {difficulty}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must be 0 or above, got {seed} and {index}")
    # Objects grow in proportion to a large frame, their fine structure only with the root: more pixels show more.
    detail = magnification((height, width)) ** 0.5
    with _one_opencv_thread():
        if causes is not None:
            return controlled_scene(seed, index, (height, width), float(difficulty), detail, Causes.of(causes))
        draw = Draw(np.random.default_rng([seed, index]), float(difficulty), detail)
        image, labels = compose(draw, (height, width))
        return photograph(draw, image), labels


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Run OpenCV on one thread within the block, then restore its setting.

    The result is the same for any number of threads, but OpenCV's thread pool does not survive a fork: a data loader's
    worker would hang if its parent had drawn a scene before. Scenes drawn on several Python threads at once may leave
    the setting at one thread.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
