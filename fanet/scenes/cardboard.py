"""Cardboard: sheets of corrugated board with folds, open edges, print and tape."""

import math

import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject, put_print, shaded
from fanet.scenes.shapes import ragged_quadrilateral


def cardboard(draw: Draw, size: float) -> SceneObject:
    """Draw a piece of cardboard about `size` pixels long."""
    shape = height, width = draw.pixels(size, (0.65, 1)), draw.pixels(size, (0.35, 0.9))
    base = _board_colour(draw)
    flutes = np.sin(np.arange(width, dtype=np.float32) * (2 * math.pi / (draw.between(2.6, 5.5) * draw.detail)))
    brightness = _paper_surface(draw, shape)
    if draw.chance(0.75):
        brightness = brightness + draw.between(0.03, 0.11) * flutes
    for _ in range(draw.integer(0, 3)):
        _fold(draw, brightness, crease=max(1, round(size / 40)))
    colour = shaded(base, brightness)
    highlight = None
    # On smaller objects these would be mere specks.
    roomy = size > 22 * draw.detail
    if roomy and draw.chance(0.4):
        edge = max(3, int(0.1 * height))
        colour[-edge:] = shaded(0.95 * base, np.broadcast_to(0.55 + 0.45 * flutes, (edge, width)))
    if roomy and draw.chance(0.45):
        _stamp(draw, colour)
    if roomy and draw.chance(0.5):
        highlight = _tape(draw, colour)
    mask = ragged_quadrilateral(draw, shape, 0.1, draw.between(0.005, 0.06))
    if draw.chance(0.35):
        _cut_corner(draw, mask)
    return SceneObject(colour, mask, draw.between(0, 0.05), draw.between(0.03, 0.06), highlight=highlight)


def _board_colour(draw: Draw) -> np.ndarray:
    """Choose a brown, or with growing difficulty sometimes the white of coated board, which looks like paper."""
    if draw.chance(0.12 * draw.difficulty):
        return draw.colour((0.1, 0.1), (0.03, 0.15), (0.6, 0.9))
    return draw.colour((0.055, 0.105), (0.25, 0.55), (0.36, 0.8))


def _paper_surface(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Return the brightness (h, w), around 1, of rough brown paper: stains, fibres, grain."""
    stains = 0.22 * (draw.texture("cloud", shape) - 0.5)
    return 1 + stains + 0.035 * draw.texture("fibre", shape) + 0.05 * draw.texture("grain", shape)


def _fold(draw: Draw, brightness: np.ndarray, crease: int) -> None:
    """Fold the sheet, in place: a dark crease, and a panel on one side that faces the light at another angle."""
    across = brightness if draw.chance(0.5) else brightness.T
    place = int(draw.between(0.2, 0.8) * len(across))
    across[place:] *= draw.between(0.78, 1.2)
    across[place : place + crease] *= 0.72


def _stamp(draw: Draw, colour: np.ndarray) -> None:
    """Print a block of words somewhere on the sheet, in place."""
    height, width = colour.shape[:2]
    top, left = int(draw.between(0.08, 0.6) * height), int(draw.between(0.05, 0.5) * width)
    rows = (top, top + int(draw.between(0.15, 0.4) * height))
    columns = (left, left + int(draw.between(0.25, 0.5) * width))
    put_print(draw, colour, rows, columns, draw.colour((0, 1), (0, 0.8), (0.15, 0.15)), draw.between(0.5, 0.9))


def _tape(draw: Draw, colour: np.ndarray) -> np.ndarray:
    """Put a strip of shiny packing tape across the sheet, in place, and return its highlight (h, w)."""
    shape = height, width = colour.shape[:2]
    shine = np.zeros(shape, np.float32)
    breadth = max(2, int(draw.between(0.07, 0.2) * min(shape)))
    if draw.chance(0.5):
        start = int(draw.between(0.1, 0.8) * width)
        strip = (slice(None), slice(start, start + breadth))
    else:
        start = int(draw.between(0.1, 0.8) * height)
        strip = (slice(start, start + breadth), slice(None))
    cover = draw.between(0.35, 0.85)
    tape = draw.colour((0.07, 0.13), (0.05, 0.45), (0.6, 0.95))
    colour[strip] = colour[strip] * (1 - cover) + tape * cover
    shine[strip] = 0.25 * draw.texture("soft", shape)[strip] ** 2
    return shine


def _cut_corner(draw: Draw, mask: np.ndarray) -> None:
    """Cut a rectangle off a corner, in place."""
    corner = mask[:: draw.integer(0, 2) * 2 - 1, :: draw.integer(0, 2) * 2 - 1]
    height, width = (int(side * draw.between(0.2, 0.55)) for side in mask.shape)
    corner[:height, :width] = 0
