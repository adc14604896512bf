"""Draw polygons into label maps."""

from collections.abc import Sequence

import numpy as np

from fanet.errors import UserError

_FARTHEST = 1e9  # pixels: coordinates beyond it are no image's, and would overflow
_BLOCK = 1 << 22  # of pairs of a row and an edge that are compared at a time


def polygon_mask(polygon: Sequence[float] | np.ndarray, height: int, width: int) -> tuple[slice, slice, np.ndarray]:
    """Find the pixels whose centres are inside a polygon, by the even-odd rule.

    Args:
        polygon: Coordinates x, y of its corners in turn, in pixels from the upper left corner of the image, so the
            centre of the first pixel is (0.5, 0.5). Corners may be outside the image.
        height: Height of the image.
        width: Width of the image.

    Returns:
        The rows and the columns of the polygon's bounding box in the image, and for the pixels of that box, (h, w)
        bool, whether they are inside the polygon.

    Raises:
        UserError: The polygon has fewer than three corners, an odd number of coordinates, or one that is no pixel's.
    """
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or not (np.abs(corners) < _FARTHEST).all():
        raise UserError("a polygon must be a list of x, y, x, y, … in pixels, of at least three corners")
    x, y = corners.reshape(-1, 2).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    top, bottom = _reach(y, height)
    left, right = _reach(x, width)
    centres = np.arange(top, bottom)[:, None] + 0.5
    flips = np.zeros((bottom - top, right - left + 1), dtype=np.int32)
    # Every edge that crosses the line through a row's centres flips inside and outside right of the crossing.
    block = max(_BLOCK // max(bottom - top, 1), 1)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        rows, edges = np.nonzero((y[part] <= centres) != (next_y[part] <= centres))
        edges += start
        slope = (next_x - x)[edges] / (next_y - y)[edges]
        crossings = x[edges] + slope * (centres[rows, 0] - y[edges])
        columns = np.clip(np.ceil(crossings - 0.5), left, right).astype(np.int64) - left
        np.add.at(flips, (rows, columns), 1)
    return slice(top, bottom), slice(left, right), np.cumsum(flips, axis=1)[:, :-1] % 2 == 1


def _reach(corners: np.ndarray, side: int) -> tuple[int, int]:
    """Return the first pixel along a side that a polygon can cover, and the one after the last."""
    return int(np.clip(np.floor(corners.min()), 0, side)), int(np.clip(np.ceil(corners.max()), 0, side))
