"""Generated pictures of cluttered waste on a sorting belt, with exact labels.

For trying out and teaching, and for training where no data set is at hand. The labels are those of
`fanet.classes.ZEROWASTE`. Each material is drawn by the module that bears its name; `composition` lays the things on
the belt and `camera` photographs it. Needs OpenCV.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from fanet.scenes.camera import photograph
from fanet.scenes.composition import compose, magnification
from fanet.scenes.draw import Draw

__all__ = ["scene"]

SHORTEST_SIDE = 32  # pixels; below, no object could be told from another


def scene(
    seed: int, index: int, size: int | tuple[int, int] = 128, difficulty: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene: image (H, W, 3) uint8 RGB, labels (H, W) uint8, indices into `ZEROWASTE.names`.

    The result depends on nothing but the arguments: not on what was drawn before, nor on processes or threads. Only
    other versions of NumPy or OpenCV, or another type of processor, may round a few pixels differently. `seed` names
    a series of scenes and `index` one of them, both 0 or above.

    `size` is in pixels, one number for a square or height and width, from 32 up. Frames whose short side is longer
    than 256 show the same view in more pixels. `difficulty` in 0..1 makes classes more alike in colour, films thinner,
    creases weaker, background clutter more like the classes, and objects more and smaller.

    Raises:
        ValueError: a number is outside of its range.
    """
    height, width = (size, size) if isinstance(size, (int, np.integer)) else size
    if min(height, width) < SHORTEST_SIDE:
        raise ValueError(f"a scene has sides of at least {SHORTEST_SIDE} pixels, got {height} x {width}")
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty lies between 0 and 1, got {difficulty}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index are 0 or above, got {seed} and {index}")
    # Things grow in proportion to a large frame, but their fine structure only with the root: more pixels show more.
    detail = magnification((height, width)) ** 0.5
    draw = Draw(np.random.default_rng([seed, index]), float(difficulty), detail)
    with _one_opencv_thread():
        picture, labels = compose(draw, (height, width))
        return photograph(draw, picture), labels


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Has OpenCV work on one thread, then puts its setting back.

    Not for the result, which is the same for any number of threads, but because OpenCV's thread pool does not survive
    a fork: a data loader's worker would hang if its parent had made a scene before. Scenes made on several Python
    threads at once may leave the setting at one thread.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
