import numpy as np
import pytest

from fanet.segmentation.data.labels.polygons import polygon_mask
from fanet.segmentation.prediction.outlines import one_ring, outline_of, well_known_text

RING = np.ones((5, 6), bool)
RING[1:3, 1:3] = RING[3, 4] = False  # two holes that touch neither each other nor the border


def regions(seed: int) -> list[np.ndarray]:
    """The connected regions of noise, found by flooding."""
    left = np.random.default_rng(seed).random((19, 26)) < 0.2 + 0.1 * seed
    found = []
    while left.any():
        region = np.zeros_like(left)
        heap = [tuple(np.argwhere(left)[0])]
        while heap:
            y, x = heap.pop()
            if 0 <= y < left.shape[0] and 0 <= x < left.shape[1] and left[y, x]:
                left[y, x], region[y, x] = False, True
                heap += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        found.append(region)
    return found


def drawn(rings: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for ring in rings:
        rows, columns, inside = polygon_mask(ring.ravel(), *shape)
        mask[rows, columns] ^= inside
    return mask


def signed_area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_outline_follows_the_edges_of_pixels() -> None:
    (ring,) = outline_of(np.ones((2, 3), bool))
    assert {tuple(corner) for corner in ring.tolist()} == {(0, 0), (3, 0), (3, 2), (0, 2)} and len(ring) == 4


@pytest.mark.parametrize("seed", range(6))
def test_outline_holds_the_pixels_of_its_region_and_no_others(seed: int) -> None:
    for mask in regions(seed):
        outline = outline_of(mask)
        np.testing.assert_array_equal(drawn(outline, mask.shape), mask)
        assert abs(sum(map(signed_area, outline))) == mask.sum(), "holes must run the other way round"
        np.testing.assert_array_equal(drawn([one_ring(outline)], mask.shape), mask)


def test_first_ring_is_the_one_around_the_holes() -> None:
    around, *holes = outline_of(RING)
    assert abs(signed_area(around)) == RING.size
    assert sorted(abs(signed_area(hole)) for hole in holes) == [1, 4]


def test_tolerance_saves_corners_and_moves_outlines_by_no_more() -> None:
    y, x = np.mgrid[:80, :80]
    disc = (y - 40) ** 2 + (x - 40) ** 2 < 30**2
    disc[35:45, 35:45] = False
    exact, simple = outline_of(disc), outline_of(disc, 1.0)
    assert sum(map(len, simple)) < sum(map(len, exact)) / 4 and len(simple) == len(exact)
    found = drawn(simple, disc.shape)
    assert (found & disc).sum() / (found | disc).sum() > 0.97


@pytest.mark.parametrize("seed", range(6))
def test_a_larger_tolerance_gives_no_more_corners(seed: int) -> None:
    tolerances = (0.5, 1, 1.5, 2, 3, 4, 6, 10, 30, 1000)
    for mask in regions(seed):
        corners = [len(outline_of(mask, tolerance)[0]) for tolerance in (0, *tolerances)]
        assert corners == sorted(corners, reverse=True) and corners[-1] >= 3


def test_outline_that_the_tolerance_would_make_a_line_keeps_few_corners() -> None:
    y, x = np.mgrid[:80, :80]
    disc = (y - 40) ** 2 + (x - 40) ** 2 < 30**2
    assert len(outline_of(disc, tolerance=1)[0]) > len(outline_of(disc, tolerance=500)[0]) >= 3


def test_outline_that_the_tolerance_would_make_a_line_stays_as_it_is() -> None:
    pixel = np.ones((1, 1), bool)
    assert len(outline_of(pixel, tolerance=5)[0]) == 4
    assert len(outline_of(RING, tolerance=3)) == 1, "holes that become lines are left out"


def test_well_known_text_closes_rings_and_has_holes() -> None:
    square, hole = np.array([[0, 0], [0, 3], [3, 3], [3, 0]]), np.array([[1, 1], [2, 1], [2, 2]])
    assert well_known_text([square, hole]) == "POLYGON ((0 0, 0 3, 3 3, 3 0, 0 0), (1 1, 2 1, 2 2, 1 1))"
