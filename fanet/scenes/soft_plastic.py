"""Soft plastic: films, bags, sheets and wrappers, thin, creased and mostly translucent."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject, dark_or_light_ink, put_print, shaded
from fanet.scenes.shapes import blob, grid, ragged_quadrilateral, superellipse, superellipse_radius

BLUISH = (0.48, 0.64)  # hues of most clear films against the light
HIDING = 0.9  # films at least this opaque do not tint what is below


@dataclass(frozen=True)
class _Film:
    """A film's colour (3,) and its opacity in 0..1 where it is flat."""

    colour: np.ndarray
    opacity: float


@dataclass(frozen=True)
class _Creases:
    """The creases of a film: two fields of facets and one of sharp folds, each (h, w) in 0..1."""

    facets: np.ndarray
    finer: np.ndarray
    folds: np.ndarray


def soft_plastic(draw: Draw, size: float) -> SceneObject:
    """Draw an object of soft plastic about `size` pixels long."""
    shape = draw.pixels(size, (0.7, 1), 9), draw.pixels(size, (0.4, 1), 9)
    drawn = _film(draw)
    film = drawn if draw.film_opacity is None else replace(drawn, opacity=draw.film_opacity)
    mask = _outline(draw, shape)
    stretch = draw.between(0.35, 0.8)
    creases = _Creases(
        draw.texture("crumple", shape, stretch),
        draw.texture("crumple", shape, 1.4 * stretch),
        draw.texture("ridge", shape, draw.between(0.5, 1.1)),
    )
    hem_width = 2 * round(2 * draw.detail) + 1
    hem = np.clip(1 - cv2.blur(mask, (hem_width, hem_width)), 0, 1) * mask
    opacity = _opacity(draw, film, creases, hem)
    easy = 1 - draw.difficulty
    hollows = 0.18 * easy * (creases.facets < 0.35)
    colour = shaded(film.colour, 0.72 + 0.38 * creases.facets + 0.12 * creases.finer - hollows)
    glints = np.clip(2 * creases.facets * creases.finer - 0.85, 0, 1)
    gloss = draw.between(0.3, 0.75) + 0.4 * easy
    highlight = gloss * (glints + 0.7 * creases.folds * creases.facets + 0.25 * hem)
    if size > 20 * draw.detail and draw.chance(0.9 if drawn.opacity == 1 else 0.22):
        _imprint(draw, colour, opacity, film, creases)
    return SceneObject(
        colour,
        mask,
        warp=draw.between(0.05, 0.16),
        rise=draw.between(0.01, 0.035),
        highlight=highlight.astype(np.float32),
        opacity=np.clip(opacity, 0, 1).astype(np.float32),
        frost=round(draw.integer(0, 4) * draw.detail),
        tint=film.colour if film.opacity < HIDING else None,
    )


def _film(draw: Draw) -> _Film:
    """Choose a clear, tinted or white film, a bin liner or a printed wrapper.

    Difficulty makes clear films thinner, allows other hues than the usual bluish ones and favours liners and wrappers.
    """
    hard = draw.difficulty
    usual = not draw.chance(hard)
    hue = draw.between(*BLUISH) if usual else draw.between(0, 1)
    hues = (hue, hue)
    kind = draw.one_of(
        {"clear": 0.4, "tinted": 0.22, "white": 0.28 - 0.08 * hard, "liner": 0.08, "wrapper": 0.02 + 0.08 * hard}
    )
    if kind == "clear":
        colour = draw.colour(hues, (0.12 * (1 - hard), 0.12 * (1 - hard) + 0.1), (0.75, 1))
        return _Film(colour, draw.between(0.34, 0.54) - 0.24 * hard)
    if kind == "tinted":
        strength, light = ((0.3, 0.6), (0.75, 1)) if usual else ((0.3, 0.9), (0.4, 0.95))
        return _Film(draw.colour(hues, strength, light), draw.between(0.4 - 0.1 * hard, 0.7 - 0.05 * hard))
    if kind == "white":
        pale = 0.06 * (1 - hard)
        return _Film(draw.colour(hues, (pale, pale + 0.08), (0.8, 1)), draw.between(0.4, 0.8))
    if kind == "liner":
        return _Film(draw.colour((0, 1), (0.3, 0.3), (0.05, 0.15)), draw.between(0.6, 0.92))
    return _Film(draw.colour((0, 1), (0.5, 1), (0.4, 1)), 1.0)


def _outline(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of a lump of film, a sheet or a carrier bag."""
    kind = draw.one_of({"lump": 0.45, "bag": 0.25, "sheet": 0.3})
    if kind == "lump":
        return blob(draw, shape, draw.between(0.2, 0.5))
    if kind == "sheet":
        return ragged_quadrilateral(draw, shape, 0.2, draw.between(0.01, 0.07))
    return _bag(draw, shape)


def _bag(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of a carrier bag with two handles, which have holes unless they are folded."""
    y, x = grid(shape)
    mask = superellipse(shape, superellipse_radius(y, x, 5), 0.95)
    mask *= ~((np.abs(x) < draw.between(0.22, 0.36)) & (y < -0.55))
    if draw.chance(0.5):
        mask *= ((np.abs(x) - 0.62) / 0.16) ** 2 + ((y + 0.72) / 0.17) ** 2 >= 1
    return mask


def _opacity(draw: Draw, film: _Film, creases: _Creases, hem: np.ndarray) -> np.ndarray:
    """Return the opacity (h, w) of the film: higher at creases, at its hem and where it is folded over."""
    folds = 0.3 * (1.7 - 0.7 * draw.difficulty) * creases.folds
    layers = 0.6 * np.abs(creases.facets - 0.5) * creases.finer + folds + 0.45 * hem
    opacity = film.opacity + (1 - film.opacity) * layers
    if draw.chance(0.3):
        y, x = grid(opacity.shape)
        angle = draw.angle()
        double = math.cos(angle) * x + math.sin(angle) * y > draw.between(-0.3, 0.5)
        opacity = np.where(double, 1 - (1 - np.minimum(opacity, 1)) ** 1.9, opacity)
    return opacity


def _imprint(draw: Draw, colour: np.ndarray, opacity: np.ndarray, film: _Film, creases: _Creases) -> None:
    """Print words on the film, in place, often on a coloured field that is more opaque than the film."""
    height, width = opacity.shape
    top, left = int(draw.between(0.1, 0.5) * height), int(draw.between(0.05, 0.4) * width)
    bottom, right = min(height, top + int(0.4 * height)), min(width, left + int(0.5 * width))
    field = slice(top, bottom), slice(left, right)
    if draw.chance(0.6):
        colour[field] = shaded(draw.colour((0, 1), (0.8, 0.8), (0.8, 0.8)), 0.7 + 0.4 * creases.facets[field])
        opacity[field] = np.maximum(opacity[field], min(1.0, film.opacity + 0.4))
    put_print(draw, colour, (top, bottom), (left, right), dark_or_light_ink(draw, 0.7), 0.9)
