"""Rigid plastic: bottles, jugs, tubs, lids, cups and shards, smooth and glossy, mostly in strong colours."""

import math

import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject, bell, dark_or_light_ink, put_print, shaded
from fanet.scenes.shapes import grid, inside, ragged_quadrilateral, superellipse, superellipse_radius


def rigid_plastic(draw: Draw, size: float) -> SceneObject:
    """Draw an object of rigid plastic about `size` pixels long."""
    hard = draw.difficulty
    kind = draw.one_of(
        {
            "bottle": 0.36 - 0.06 * hard,
            "jug": 0.12,
            "tub": 0.22 - 0.02 * hard,
            "lid": 0.12,
            "cup": 0.15 - 0.01 * hard,
            "shard": 0.03 + 0.09 * hard,
        }
    )
    clear = kind in ("bottle", "tub", "cup") and draw.chance(0.05 + 0.3 * hard)
    colour = draw.colour((0, 1), (0, 0.25), (0.75, 1)) if clear else plastic_colour(draw)
    made = {"bottle": _bottle, "jug": _jug, "tub": _tub, "lid": _lid, "cup": _cup, "shard": _shard}[kind](
        draw, size, colour, clear
    )
    made.colour *= (1 + 0.02 * draw.texture("cloud", made.mask.shape))[..., None]
    if clear:
        made.frost, made.tint = round(draw.detail), colour
    return made


def plastic_colour(draw: Draw) -> np.ndarray:
    """Choose a strong colour other than the hues of cardboard; difficulty adds those, whites and darks."""
    if not draw.chance(draw.difficulty):
        return draw.colour((0.14, 1.04), (0.6, 0.97), (0.45, 0.95))
    kind = draw.one_of({"strong": 0.55, "white": 0.25, "dark": 0.2})
    if kind == "strong":
        return draw.colour((0, 1), (0.45, 0.95), (0.35, 0.95))
    if kind == "white":
        return draw.colour((0, 1), (0, 0.12), (0.75, 1))
    return draw.colour((0, 1), (0, 0.4), (0.08, 0.3))


def _gloss(draw: Draw) -> float:
    """Choose the strength of the highlights."""
    return draw.between(0.35, 0.9)


def _object(
    draw: Draw, colour: np.ndarray, mask: np.ndarray, highlight: np.ndarray, opacity: np.ndarray | None, warp: float
) -> SceneObject:
    """Make an object of rigid plastic, which is higher than others."""
    opacity = None if opacity is None else np.clip(opacity, 0, 1).astype(np.float32)
    highlight = np.broadcast_to(highlight, mask.shape).astype(np.float32)
    return SceneObject(colour, mask, warp, draw.between(0.04, 0.09), highlight=highlight, opacity=opacity)


def _bottle(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a slender bottle."""
    return _container(draw, (draw.pixels(size, (1, 1), 10), draw.pixels(size, (0.28, 0.42), 6)), colour, clear)


def _jug(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a wide bottle with an opening for the hand."""
    jug = _container(draw, (draw.pixels(size, (1, 1), 10), draw.pixels(size, (0.5, 0.68), 6)), colour, clear)
    y, x = grid(jug.mask.shape)
    middle = draw.between(0.5, 0.6) * (1 if draw.chance(0.5) else -1)
    reach = np.sqrt(((x - middle) / 0.13) ** 2 + ((y + draw.between(0, 0.1)) / 0.22) ** 2)
    jug.mask = jug.mask * inside((reach - 1) * 0.13 * jug.mask.shape[1] / 2)
    jug.colour *= (1 - 0.35 * bell(reach - 1, 0.4))[..., None]
    return jug


def _container(draw: Draw, shape: tuple[int, int], colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a body of revolution lying on its side, with neck, shoulder, ribs, often a cap and a label."""
    height, width = shape
    x = grid(shape)[1]
    down = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]  # 0 at the mouth, 1 at the bottom
    neck, shoulder = draw.between(0.1, 0.18), draw.between(0.25, 0.42)
    half_width = _half_width(draw, down, neck, shoulder)
    mask = inside((1 - np.abs(x / half_width)) * half_width * width / 2)
    around = np.clip(x / half_width, -1, 1)
    body = 0.5 + 0.55 * np.sqrt(1 - 0.95 * around**2)
    ribs = np.sin(down * (2 * math.pi * draw.between(5, 12))) * (down > shoulder)
    ribbed = 1 + draw.between(0, 0.16) * ribs
    image = shaded(colour, body * ribbed)
    gloss, place = _gloss(draw), draw.between(-0.6, 0.6)
    highlight = gloss * bell(around - place, draw.between(0.06, 0.2)) * (0.6 + 0.4 * ribbed)
    highlight = highlight + 0.4 * gloss * bell(around + 0.8 * place, 0.08)
    opacity = None
    if clear:
        opacity = draw.between(0.22, 0.42) + 0.45 * np.abs(around) ** 4 + 0.06 * ribs
    if draw.chance(0.75):
        end = max(1, int(height * neck * draw.between(0.6, 0.95)))
        grip = 1 + 0.15 * np.sin(x * width * 0.9 / draw.detail)
        image[:end] = shaded(plastic_colour(draw), (body * grip)[:end])
        if opacity is not None:
            opacity[:end] = 1
    if draw.chance(0.6):
        top, bottom = int(height * draw.between(0.45, 0.6)), int(height * draw.between(0.65, 0.85))
        image[top:bottom] = shaded(draw.colour((0, 1), (0, 0.9), (0.4, 1)), body[top:bottom])
        highlight[top:bottom] *= 0.5
        margins = int(0.1 * width), int(0.9 * width)
        put_print(draw, image, (top + 1, bottom - 1), margins, dark_or_light_ink(draw, 0.6), 0.8)
        if opacity is not None:
            opacity[top:bottom] = 0.97
    return _object(draw, image, mask, highlight, opacity, warp=draw.between(0, 0.06))


def _half_width(draw: Draw, down: np.ndarray, neck: float, shoulder: float) -> np.ndarray:
    """Return half the width (h, 1) of a bottle at each height, as a share of half the canvas."""
    mouth, roundness = draw.between(0.28, 0.45), draw.between(0.8, 1.6)
    rising = np.sin(np.clip((down - neck) / (shoulder - neck), 0, 1) * (math.pi / 2)) ** roundness
    waist = 1 - draw.between(0, 0.15) * bell(down - draw.between(0.5, 0.8), 0.08)
    foot = np.where(down > 0.95, 0.93, 1)
    return (0.97 * (mouth + (1 - mouth) * rising) * waist * foot).astype(np.float32)


def _tub(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a tub or bowl from above: a bright rim, sloping walls, a floor."""
    shape = height, width = draw.pixels(size, (1, 1)), draw.pixels(size, (0.55, 1))
    y, x = grid(shape)
    radius = superellipse_radius(y, x, 2 if draw.chance(0.3) else draw.between(3, 7))
    light = draw.angle()
    slope = math.cos(light) * x + math.sin(light) * y
    rim, floor = draw.between(0.84, 0.92), draw.between(0.5, 0.75)
    walls = np.where(radius > floor, 0.72 - 0.3 * slope, 0.88 + 0.12 * slope)
    image = shaded(colour, np.where(radius > rim, 1.08, walls))
    gloss = _gloss(draw)
    on_rim = gloss * bell(radius - (rim + 0.04), 0.035) * np.clip(0.2 - slope, 0, 1)
    on_floor = 0.5 * gloss * _spot(draw, y, x, light)
    opacity = np.where(radius > rim, 0.8, np.where(radius > floor, 0.5, 0.26)) if clear else None
    if size > 24 * draw.detail and draw.chance(0.35):
        rows, columns = (int(0.3 * height), int(0.65 * height)), (int(0.25 * width), int(0.75 * width))
        put_print(draw, image, rows, columns, dark_or_light_ink(draw, 0.5), 0.8)
    mask = superellipse(shape, radius, 0.96)
    return _object(draw, image, mask, on_rim + on_floor, opacity, warp=draw.between(0, 0.06))


def _lid(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a round lid: raised rings that shine on the side of the light."""
    shape = (draw.pixels(size, (1, 1)),) * 2
    y, x = grid(shape)
    radius = superellipse_radius(y, x, 2)
    light = draw.angle()
    slope = math.cos(light) * x + math.sin(light) * y
    rings = 0.12 * np.sin(radius * draw.between(8, 22)) * (radius > 0.3)
    rim, gloss = draw.between(0.88, 0.96), _gloss(draw)
    highlight = gloss * bell(radius - rim, 0.035) * np.clip(0.2 - slope, 0, 1)
    highlight = highlight + 0.5 * gloss * _spot(draw, y, x, light)
    mask = superellipse(shape, radius, 0.96)
    return _object(draw, shaded(colour, 0.88 + 0.1 * slope + rings), mask, highlight, None, warp=0.01)


def _spot(draw: Draw, y: np.ndarray, x: np.ndarray, light: float) -> np.ndarray:
    """Return a round highlight towards the light."""
    squared = (x - 0.4 * math.cos(light)) ** 2 + (y - 0.4 * math.sin(light)) ** 2
    return np.exp(-squared / draw.between(0.02, 0.12))


def _cup(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a cup lying on its side: a cone with a thick brim."""
    shape = height, width = draw.pixels(size, (1, 1)), draw.pixels(size, (0.6, 0.85), 7)
    y, x = grid(shape)
    half_width = 0.95 - draw.between(0.18, 0.34) * (y + 1) / 2
    mask = inside((1 - np.abs(x / half_width)) * width / 2) * inside((0.95 - np.abs(y)) * height / 2)
    around = np.clip(x / half_width, -1, 1)
    flutes = draw.between(0, 0.08) * np.sin(around * draw.between(8, 30))
    brim = y < -0.82
    brightness = (0.52 + 0.5 * np.sqrt(1 - 0.95 * around**2) + flutes) * np.where(brim, 1.15, 1)
    highlight = _gloss(draw) * bell(around - draw.between(-0.5, 0.5), draw.between(0.08, 0.2))
    opacity = 0.28 + 0.5 * np.abs(around) ** 4 + 0.4 * brim if clear else None
    return _object(draw, shaded(colour, brightness), mask, highlight, opacity, warp=draw.between(0, 0.06))


def _shard(draw: Draw, size: float, colour: np.ndarray, clear: bool) -> SceneObject:
    """Draw a flat broken piece with straight sides and one band of light."""
    shape = draw.pixels(size, (1, 1)), draw.pixels(size, (0.4, 0.9))
    y, x = grid(shape)
    light = draw.angle()
    slope = math.cos(light) * x + math.sin(light) * y
    highlight = _gloss(draw) * bell(slope - draw.between(-0.6, 0.6), draw.between(0.08, 0.25))
    mask = ragged_quadrilateral(draw, shape, 0.22, 0.01)
    return _object(draw, shaded(colour, 0.8 + 0.25 * slope), mask, highlight, None, warp=draw.between(0, 0.06))
