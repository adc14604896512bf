"""What a thing on the belt consists of, and what all materials paint with."""

from dataclasses import dataclass

import numpy as np

from fanet.scenes.draw import Draw


@dataclass
class SceneObject:
    """One thing, seen from above and not yet turned, on a canvas of its own.

    `colour` (h, w, 3) float32 RGB is its lit surface, about 0..1; `mask` (h, w) is 1 on the object. `opacity` (h, w)
    in 0..1 tells how much of what lies below it hides, None for all of it. `highlight` (h, w) is light added on top.
    Through a translucent object the things below look blurred over `frost` pixels and multiplied by about `tint`
    (3,). `warp` is how far its outline is bent and `rise` how high it stands, for its shadow, as shares of its size.
    """

    colour: np.ndarray
    mask: np.ndarray
    warp: float
    rise: float
    highlight: np.ndarray | None = None
    opacity: np.ndarray | None = None
    frost: int = 0
    tint: np.ndarray | None = None


def shaded(colour: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """A colour (3,) under a brightness (h, w), as a picture (h, w, 3) float32."""
    return (brightness[..., None] * colour).astype(np.float32, copy=False)


def mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Two pictures (h, w, 3), or colours, with a share (h, w) in 0..1 of the second."""
    return first + share[..., None] * (second - first)


def bell(values: np.ndarray, width: float) -> np.ndarray:
    """A bump of height 1 at value 0 that falls to 1/e at plus and minus `width`."""
    return np.exp(-((values / width) ** 2))


def put_print(
    draw: Draw, picture: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], ink: np.ndarray, strength: float
) -> None:
    """Prints lines of words into a rectangle of a picture, in place; rectangles below 4 pixels stay blank."""
    part = picture[max(0, rows[0]) : max(0, rows[1]), max(0, columns[0]) : max(0, columns[1])]
    if min(part.shape[:2]) < 4:
        return
    page = draw.texture("print", part.shape[:2], draw.between(0.7, 1.6))
    part[...] = mixed(part, ink, (1 - page) * (0.8 * strength))


def dark_or_light_ink(draw: Draw, saturation: float) -> np.ndarray:
    """A printing colour that stands out on most things."""
    return draw.colour(saturation=(saturation, saturation), value=(0.12, 0.12) if draw.chance(0.5) else (0.95, 0.95))
