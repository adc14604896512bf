"""What an object on the belt consists of, and helpers that all materials use."""

from dataclasses import dataclass

import numpy as np

from fanet.scenes.draw import Draw


@dataclass
class SceneObject:
    """One object, seen from above and not yet rotated, on its own canvas.

    Attributes:
        colour: The lit surface, (h, w, 3) float32 RGB, about 0..1.
        mask: 1 on the object, (h, w).
        warp: How far the outline is bent, as a share of the object's size.
        rise: How high the object is, for its shadow, as a share of its size.
        highlight: Light added on top, (h, w).
        opacity: 0..1, (h, w); None for an opaque object.
        frost: Pixels over which a translucent object blurs the scene below.
        tint: What a translucent object multiplies the scene below by, about, (3,).
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
    """Multiply a colour (3,) by a brightness (h, w): (h, w, 3) float32."""
    return (brightness[..., None] * colour).astype(np.float32, copy=False)


def mixed(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blend two images (h, w, 3), or colours, with a share (h, w) in 0..1 of the second."""
    return first + share[..., None] * (second - first)


def bell(values: np.ndarray, width: float) -> np.ndarray:
    """Compute a bump of height 1 at 0 that falls to 1/e at plus and minus `width`."""
    return np.exp(-((values / width) ** 2))


def put_print(
    draw: Draw, image: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], ink: np.ndarray, strength: float
) -> None:
    """Print lines of words into a rectangle of an image, in place; rectangles below 4 pixels stay blank."""
    part = image[max(0, rows[0]) : max(0, rows[1]), max(0, columns[0]) : max(0, columns[1])]
    if min(part.shape[:2]) < 4:
        return
    page = draw.texture("print", part.shape[:2], draw.between(0.7, 1.6))
    part[...] = mixed(part, ink, (1 - page) * (0.8 * strength))


def dark_or_light_ink(draw: Draw, saturation: float) -> np.ndarray:
    """Choose a printing colour that stands out on most objects."""
    return draw.colour(saturation=(saturation, saturation), value=(0.12, 0.12) if draw.chance(0.5) else (0.95, 0.95))
