"""Metal: cans, crumpled foil, lids, trays and scrap, grey with hard contrasts between light and dark."""

import math

import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject, bell, dark_or_light_ink, mixed, put_print, shaded
from fanet.scenes.shapes import blob, grid, inside, ragged_quadrilateral, superellipse, superellipse_radius

RUST = np.array([0.4, 0.22, 0.12], np.float32)
BRIGHTEST = 1.3  # reflections above white lose their colour in the camera


def metal(draw: Draw, size: float) -> SceneObject:
    """Draw a metal object about `size` pixels long."""
    kind = draw.one_of({"can": 0.4, "foil": 0.22, "lid": 0.14, "tray": 0.12, "scrap": 0.12})
    tint = draw.colour((0.05, 0.65), (0, 0.1), (1, 1))
    made = {"can": _can, "foil": _foil, "lid": _lid, "tray": _tray, "scrap": _scrap}[kind](draw, size, tint)
    np.clip(made.colour, 0, BRIGHTEST, out=made.colour)
    return made


def _object(
    draw: Draw, colour: np.ndarray, mask: np.ndarray, highlight: np.ndarray, warp: tuple[float, float]
) -> SceneObject:
    """Make a metal object, which is opaque."""
    highlight = np.broadcast_to(highlight, mask.shape).astype(np.float32)
    return SceneObject(colour, mask, draw.between(*warp), draw.between(0.03, 0.08), highlight=highlight)


def _can(draw: Draw, size: float, tint: np.ndarray) -> SceneObject:
    """Draw a can on its side: streaks along it, beads across, one end in view, dents, sometimes a printed wrap."""
    shape = height, width = draw.pixels(size, (1, 1)), draw.pixels(size, (0.5, 0.75), 6)
    y, x = grid(shape)
    streaks = 0.45 + 0.28 * draw.curve(width, draw.integer(5, 9))
    round_body = 0.55 + 0.45 * np.sqrt(1 - 0.98 * x**2)
    brightness = np.clip(streaks * round_body, 0.08, 1.1) * _beads(draw, y)
    highlight = 0.9 * bell(x - draw.between(-0.6, 0.6), draw.between(0.04, 0.1)) * np.ones_like(y)
    bulge = draw.between(0.07, 0.1)  # the ends of a cylinder seen from its side are arcs
    ends = (0.97 - np.abs(y) - bulge * x**2) * height / 2
    mask = inside((0.97 - np.abs(x)) * width / 2) * inside(ends)
    if draw.chance(0.5):
        dents = draw.texture("crumple", shape, draw.between(0.4, 0.8))
        brightness, highlight = brightness * (0.5 + dents), highlight * dents
    image = shaded(tint, brightness)
    if draw.chance(0.15 + 0.4 * draw.difficulty):
        _wrap(draw, image, brightness)
    elif draw.chance(0.6):
        _end_face(image, highlight, y, x, tint)
    return _object(draw, image, mask, highlight, warp=(0.01, 0.1))


def _beads(draw: Draw, y: np.ndarray) -> np.ndarray:
    """Return a factor (h, 1) on the brightness: the rims at both ends and up to four beads in between."""
    rims = 1 + 0.3 * (bell(np.abs(y) - 0.84, 0.03) - bell(np.abs(y) - 0.76, 0.04))
    for _ in range(draw.integer(0, 5)):
        rims = rims * (1 + draw.between(-0.3, 0.2) * bell(y - draw.between(-0.7, 0.7), 0.03))
    return rims


def _wrap(draw: Draw, image: np.ndarray, brightness: np.ndarray) -> None:
    """Print a coloured wrap around a can, in place; the metal shines through."""
    height, width = brightness.shape
    top, bottom = int(height * draw.between(0.1, 0.25)), int(height * draw.between(0.7, 0.9))
    colour = draw.colour((0, 1), (0.4, 0.95), (0.5, 1.1))
    image[top:bottom] = shaded(colour, brightness[top:bottom] + 0.12)
    margins = int(0.2 * width), int(0.8 * width)
    put_print(draw, image, (top + 2, bottom - 2), margins, dark_or_light_ink(draw, 0.3), 0.7)


def _end_face(image: np.ndarray, highlight: np.ndarray, y: np.ndarray, x: np.ndarray, tint: np.ndarray) -> None:
    """Draw the round end of a can, in place: a flat grey ellipse inside a bright rim."""
    radius = np.sqrt((x / 0.95) ** 2 + ((y + 0.83) / 0.13) ** 2)
    face = shaded(tint, np.where(radius > 0.78, 0.95, 0.42 + 0.22 * x))
    on_face = np.clip((1 - radius) * 4, 0, 1)
    image[...] = mixed(image, face, on_face)
    highlight *= 1 - on_face


def _foil(draw: Draw, size: float, tint: np.ndarray) -> SceneObject:
    """Draw crumpled foil: facets from nearly black to glaring, side by side."""
    shape = draw.pixels(size, (1, 1)), draw.pixels(size, (0.5, 1))
    facets = draw.texture("crumple", shape, draw.between(0.3, 0.65))
    finer = draw.texture("crumple", shape, draw.between(0.3, 0.6))
    image = shaded(tint, 0.16 + 0.55 * facets + 0.35 * finer * facets)
    highlight = 0.8 * np.clip(1.7 * facets * finer - 0.55, 0, 1)
    return _object(draw, image, blob(draw, shape, 0.25), highlight, warp=(0.03, 0.12))


def _lid(draw: Draw, size: float, tint: np.ndarray) -> SceneObject:
    """Draw a turned lid: two opposite fans of light, fine rings, a raised rim."""
    shape = (draw.pixels(size, (0.8, 0.8), 7),) * 2
    y, x = grid(shape)
    radius = superellipse_radius(y, x, 2)
    fans = np.cos(2 * (np.arctan2(y, x) - draw.between(0, math.pi)))
    brightness = 0.5 + 0.32 * fans + 0.12 * np.sin(radius * draw.between(12, 30))
    brightness = np.where(radius > 0.86, 0.35 + 0.7 * brightness, brightness)
    highlight = 0.8 * np.clip(fans, 0, 1) ** 10 * (radius > 0.12)
    return _object(draw, shaded(tint, brightness), superellipse(shape, radius, 0.96), highlight, warp=(0.02, 0.02))


def _tray(draw: Draw, size: float, tint: np.ndarray) -> SceneObject:
    """Draw a foil tray from above: pleated walls around a crumpled floor."""
    shape = height, width = draw.pixels(size, (1, 1)), draw.pixels(size, (0.55, 1))
    y, x = grid(shape)
    radius = superellipse_radius(y, x, draw.between(2, 6))
    pleats = np.sin(np.arctan2(y * height, x * width) * draw.integer(24, 48))
    floor = draw.texture("crumple", shape, 0.6)
    wall = radius > 0.62
    brightness = np.where(wall, 0.5 + 0.3 * pleats + 0.2 * x, 0.42 + 0.35 * floor)
    brightness = np.where(radius > 0.9, 0.85, brightness)
    light = draw.angle()
    towards_light = np.clip(math.cos(light) * x + math.sin(light) * y + 0.2, 0, 1)
    highlight = 0.6 * np.clip(pleats, 0, 1) * wall * towards_light + 0.4 * np.clip(floor - 0.7, 0, 1)
    return _object(draw, shaded(tint, brightness), superellipse(shape, radius, 0.97), highlight, warp=(0.02, 0.09))


def _scrap(draw: Draw, size: float, tint: np.ndarray) -> SceneObject:
    """Draw a bent strip of sheet metal with bands of light along it, sometimes rusty."""
    shape = height, width = draw.pixels(size, (1, 1)), draw.pixels(size, (0.25, 0.6), 6)
    bands = draw.curve(width, 7)
    brightness = np.clip(0.45 + 0.3 * bands, 0.1, 1.1) * (0.75 + 0.3 * draw.texture("soft", shape))
    brightness = brightness + 0.06 * draw.texture("fibre", (width, height)).T
    image = shaded(tint, brightness)
    if draw.chance(0.4):
        rusty = np.clip(2.2 * draw.texture("cloud", shape) - 1, 0, 1)
        image = mixed(image, shaded(RUST, 0.7 + 0.5 * draw.texture("cloud", shape)), rusty)
    highlight = 0.6 * np.clip(bands - 1, 0, 1)
    return _object(draw, image, ragged_quadrilateral(draw, shape, 0.2, 0.02), highlight, warp=(0.02, 0.1))
