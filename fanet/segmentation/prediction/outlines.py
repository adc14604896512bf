"""Outlines of regions: rings of corners along the edges of pixels (OpenCV, extra `seg`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fanet.errors import needs_extra

_FEWEST = 3  # corners of a ring
_STEP = 1 / 64  # pixels: how closely the largest tolerance that leaves a ring is found


def outline_of(mask: np.ndarray, tolerance: float = 0.0) -> list[np.ndarray]:
    """Return the outline of a region: the ring around it, then one around each of its holes.

    Without a tolerance the rings follow the edges of pixels. By the even-odd rule they hold exactly the centres of the
    region's pixels, and the area of the first without those of the holes is the number of pixels. Holes run the other
    way round.

    Args:
        mask: (H, W) bool, one region whose pixels are connected by sides or corners.
        tolerance: Distance in pixels by which a ring may leave the edges of pixels, so that it has fewer corners. If
            the ring around the region would become a line, it has the largest tolerance with which it does not. Holes
            that become lines are left out.

    Returns:
        Arrays (N, 2) of x, y in pixels from the upper left corner of the mask, so the centre of the first pixel is
        (0.5, 0.5). The last corner is not the first one again.

    Raises:
        UserError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    # OpenCV's contours go through the centres of pixels. With four pixels in place of each, they go along all of its
    # sides, and halving the coordinates moves them to its edges.
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    around, holes = [], []
    for contour, (*_, parent) in zip(contours, hierarchy[0], strict=True):
        ring = _corners((contour[:, 0] + 1) // 2)
        simple = _simplified(ring, tolerance)
        if parent < 0:
            around.append(simple if len(simple) >= _FEWEST else _simplest(ring, tolerance))
        elif len(simple) >= _FEWEST:
            holes.append(simple)
    return around + holes


def one_ring(outline: Sequence[np.ndarray]) -> np.ndarray:
    """Join an outline to one ring, for formats that know no holes.

    Each hole is connected with the ring around it by two lines, there and back at the same place. By the even-odd rule
    the ring holds the same points as the outline.

    Args:
        outline: What `outline_of` returns.

    Returns:
        (N, 2) of x, y.
    """
    ring = outline[0]
    for hole in outline[1:]:
        nearest = int(np.abs(ring - hole[0]).sum(axis=1).argmin())
        ring = np.concatenate([ring[: nearest + 1], hole, hole[:1], ring[nearest:]])
    return ring


def well_known_text(outline: Sequence[np.ndarray]) -> str:
    """Write an outline as a polygon in WKT: `POLYGON ((0 0, 0 2, 2 2, 0 0))`, holes in parentheses of their own."""
    rings = [", ".join(f"{x:g} {y:g}" for x, y in [*ring, ring[0]]) for ring in outline]
    return f"POLYGON (({'), ('.join(rings)}))"


def import_cv2() -> Any:
    """Import the package `cv2`.

    Raises:
        UserError: It is not installed.
    """
    with needs_extra("seg", "cv2"):
        import cv2
    return cv2


def _corners(ring: np.ndarray) -> np.ndarray:
    """Leave out repeated points and those on straight lines."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def _simplified(ring: np.ndarray, tolerance: float) -> np.ndarray:
    if not tolerance:
        return ring
    return import_cv2().approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.int64)


def _simplest(ring: np.ndarray, too_much: float) -> np.ndarray:
    """Return a ring with the largest tolerance that does not make it a line, which `too_much` does.

    Halving alone would stop anywhere below that tolerance, with more corners for some large tolerances than for
    smaller ones.
    """
    found, enough = ring, 0.0
    too_much = min(too_much, float(np.ptp(ring, axis=0).sum()))  # no two corners are further from each other
    while too_much - enough > _STEP:
        middle = (enough + too_much) / 2
        simple = _simplified(ring, middle)
        if len(simple) >= _FEWEST:
            found, enough = simple, middle
        else:
            too_much = middle
    return found
