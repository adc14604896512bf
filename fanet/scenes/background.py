"""Objects on the belt that belong to no class: paper, newsprint, cloth, cord, twigs, leaves."""

import math

import cv2
import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject, mixed, put_print, shaded
from fanet.scenes.shapes import SUBPIXEL_BITS, blob, fixed_point, grid, inside, ragged_quadrilateral


def background(draw: Draw, size: float) -> SceneObject:
    """Draw an object of no class, about `size` pixels long.

    Difficulty favours objects that look like a class: magazine pages, kraft paper and cloth.
    """
    hard = draw.difficulty
    kind = draw.one_of(
        {
            "paper": 0.24,
            "news": 0.25,
            "magazine": 0.01 + 0.12 * hard,
            "kraft": 0.09 * hard,
            "ball": 0.1,
            "cloth": 0.02 + 0.08 * hard,
            "cord": 0.08,
            "twig": 0.07,
            "leaf": 0.07,
        }
    )
    if kind in ("paper", "news", "magazine", "kraft"):
        return _page(draw, size, kind)
    return {"ball": _ball, "cloth": _cloth, "cord": _cord, "twig": _twig, "leaf": _leaf}[kind](draw, size)


def _object(draw: Draw, colour: np.ndarray, mask: np.ndarray, warp: tuple[float, float]) -> SceneObject:
    """Make an object that lies flat and does not shine."""
    return SceneObject(colour, mask, draw.between(*warp), draw.between(0.005, 0.03))


def _canvas(draw: Draw, size: float) -> tuple[int, int]:
    """Choose height and width in pixels, for most objects here."""
    return draw.pixels(size, (0.6, 1)), draw.pixels(size, (0.4, 1))


def _white(draw: Draw, value: tuple[float, float]) -> np.ndarray:
    """Choose the colour of white paper; with growing difficulty not only yellowish."""
    return draw.colour((0.08, 0.15 + 0.4 * draw.difficulty), (0, 0.1), value)


def _page(draw: Draw, size: float, kind: str) -> SceneObject:
    """Draw a sheet of paper, newsprint or kraft paper, or a page of a magazine, mostly printed."""
    shape = height, width = _canvas(draw, size)
    if kind == "paper":
        base = _white(draw, (0.7, 0.97))
    elif kind == "news":
        base = draw.colour((0.12, 0.12), (0.03, 0.14), (0.58, 0.8))
    elif kind == "magazine":
        base = draw.colour((0, 1), (0.2, 0.8), (0.4, 0.95))
    else:
        base = draw.colour((0.06, 0.1), (0.25, 0.5), (0.45, 0.75))
    creases = draw.texture("crumple", shape, draw.between(0.5, 1.1)) - 0.5
    creased = 0.9 + 0.2 * draw.between(0.3, 1.6) * creases
    colour = shaded(base, creased + 0.025 * draw.texture("grain", shape))
    if kind == "magazine":
        photo = np.clip(3 * draw.texture("cloud", shape) - 1, 0, 1)
        colour = mixed(colour, draw.colour((0, 1), (0.1, 0.9), (0.3, 1)), photo)
    if kind == "news" or draw.chance(0.8 - 0.4 * draw.difficulty):
        put_print(draw, colour, (0, height), (0, width), draw.colour((0.6, 0.6), (0.2, 0.2), (0.12, 0.12)), 0.75)
    mask = ragged_quadrilateral(draw, shape, draw.between(0.02, 0.2), draw.between(0, 0.06))
    return _object(draw, colour, mask, (0, 0.08))


def _ball(draw: Draw, size: float) -> SceneObject:
    """Draw paper crumpled into a ball: creases without glints."""
    shape = _canvas(draw, size)
    creases = draw.texture("crumple", shape, draw.between(0.5, 1.1)) + draw.texture("crumple", shape, 0.5)
    colour = shaded(_white(draw, (0.65, 0.95)), 0.5 + 0.3 * creases)
    return _object(draw, colour, blob(draw, shape, 0.18), (0, 0.08))


def _cloth(draw: Draw, size: float) -> SceneObject:
    """Draw a rag: soft folds, a weave, sometimes stripes."""
    shape = height, width = _canvas(draw, size)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    thread = 2 * math.pi / (draw.between(2.2, 3.6) * draw.detail)
    weave = 0.1 * np.sin(x * thread) * np.sin(y * thread) + 0.04 * draw.texture("grain", shape)
    colour = shaded(draw.colour((0, 1), (0.1, 0.7), (0.2, 0.75)), 0.75 + 0.3 * draw.texture("soft", shape) + weave)
    if draw.chance(0.5):
        stripes = np.sin(x * (draw.between(0.2, 0.6) / draw.detail)) > 0.3
        colour = np.where(stripes[..., None], colour * draw.colour((0, 1), (0.5, 0.5), (1, 1)), colour)
    return _object(draw, colour, blob(draw, shape, 0.35), (0.14, 0.14))


def _cord(draw: Draw, size: float) -> SceneObject:
    """Draw a winding cord or cable, lit along its middle."""
    side = max(14, int(1.3 * size))
    along = np.linspace(0.05, 0.95, 24)
    points = np.stack([along * side, side / 2 + 0.16 * side * draw.curve(24, 6)], axis=1)
    line = fixed_point(np.clip(points, 2, side - 3))
    thickness = max(1, round(draw.integer(1, 4) * draw.detail))
    canvas = np.zeros((side, side), np.uint8)
    cv2.polylines(canvas, [line], False, 255, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    mask = canvas.astype(np.float32) / 255
    brightness = 0.6 + 0.4 * cv2.blur(mask, (3, 3))
    return _object(draw, shaded(draw.colour((0, 1), (0, 0.9), (0.05, 0.9)), brightness), mask, (0.1, 0.1))


def _twig(draw: Draw, size: float) -> SceneObject:
    """Draw a thin piece of wood, streaked along its length."""
    shape = height, width = draw.pixels(size, (1, 1), 10), draw.pixels(size, (0.06, 0.16), 4)
    streaks = 0.15 * draw.texture("fibre", (width, height)).T
    colour = shaded(draw.colour((0.05, 0.11), (0.3, 0.6), (0.25, 0.6)), 1 + streaks)
    return _object(draw, colour, ragged_quadrilateral(draw, shape, 0.08, 0.08), (0.1, 0.1))


def _leaf(draw: Draw, size: float) -> SceneObject:
    """Draw a leaf, pointed at both ends, with veins."""
    height = draw.pixels(size, (0.7, 0.7))
    shape = height, width = height, draw.pixels(height, (0.35, 0.6), 5)
    y, x = grid(shape)
    across = np.abs(x) / ((1 - y * y) ** 0.7 + 1e-3)
    veins = 0.25 * np.abs(np.sin(6 * y + 3 * np.abs(x))) - 0.3 * (np.abs(x) < 0.08)
    colour = shaded(draw.colour((0.08, 0.35), (0.3, 0.75), (0.2, 0.6)), 0.8 + veins)
    return _object(draw, colour, inside((0.95 - across) * width / 2), (0.1, 0.1))
