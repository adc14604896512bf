"""What a camera above the belt does to the scene: uneven light, colour cast, blur, tone curve, noise."""

import math

import cv2
import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.shapes import grid


def photograph(draw: Draw, picture: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) uint8 a camera takes of a lit scene (H, W, 3) float32, about 0..1; overwrites the scene."""
    shape = picture.shape[:2]
    picture *= (_lamp(draw, shape) * draw.between(0.75, 1.2))[..., None]
    picture *= np.array([draw.between(0.9, 1.1) for _ in range(3)], np.float32)
    picture = np.clip(_blurred(draw, picture), 0, 1) ** np.float32(draw.between(0.8, 1.25))
    picture += (draw.between(0.003, 0.02) * draw.texture("grain", shape))[..., None]
    picture += draw.rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(draw.between(0.003, 0.015))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _lamp(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Brightness (H, W) of the light: a slope across the frame, and darker away from a point near its middle."""
    y, x = grid(shape)
    angle = draw.angle()
    slope = draw.between(0.05, 0.35) * (math.cos(angle) * x + math.sin(angle) * y)
    squared = (x - draw.between(-0.5, 0.5)) ** 2 + (y - draw.between(-0.5, 0.5)) ** 2
    return 1 + slope - draw.between(0, 0.2) * squared


def _blurred(draw: Draw, picture: np.ndarray) -> np.ndarray:
    """The picture out of focus, smeared by the moving belt, or sharp."""
    kind = draw.one_of({"focus": 0.4, "motion": 0.1, "sharp": 0.5})
    if kind == "focus":
        return cv2.GaussianBlur(picture, (0, 0), draw.between(0.35, 0.8) * draw.detail)
    if kind == "motion":
        length = round(draw.integer(2, 4) * draw.detail)
        return cv2.blur(picture, (length, 1) if draw.chance(0.5) else (1, length))
    return picture
