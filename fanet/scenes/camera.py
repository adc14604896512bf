"""What a camera above the belt does to the scene: uneven light, colour cast, blur, tone curve, noise."""

import math

import cv2
import numpy as np

from fanet.scenes.draw import Draw
from fanet.scenes.shapes import grid


def photograph(draw: Draw, image: np.ndarray) -> np.ndarray:
    """Photograph a scene (H, W, 3) float32, about 0..1, as (H, W, 3) uint8; overwrites the scene."""
    shape = image.shape[:2]
    image *= (_lamp(draw, shape) * draw.between(0.75, 1.2))[..., None]
    image *= np.array([draw.between(0.9, 1.1) for _ in range(3)], np.float32)
    image = np.clip(_blurred(draw, image), 0, 1) ** np.float32(draw.between(0.8, 1.25))
    image += (draw.between(0.003, 0.02) * draw.texture("grain", shape))[..., None]
    image += draw.rng.standard_normal(image.shape, dtype=np.float32) * np.float32(draw.between(0.003, 0.015))
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _lamp(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Return the brightness (H, W) of the light: a slope across the frame, darker away from a point near its centre."""
    y, x = grid(shape)
    angle = draw.angle()
    slope = draw.between(0.05, 0.35) * (math.cos(angle) * x + math.sin(angle) * y)
    squared = (x - draw.between(-0.5, 0.5)) ** 2 + (y - draw.between(-0.5, 0.5)) ** 2
    return 1 + slope - draw.between(0, 0.2) * squared


def _blurred(draw: Draw, image: np.ndarray) -> np.ndarray:
    """Blur the image by defocus or by the motion of the belt, or leave it sharp."""
    kind = draw.one_of({"focus": 0.4, "motion": 0.1, "sharp": 0.5})
    if kind == "focus":
        return cv2.GaussianBlur(image, (0, 0), draw.between(0.35, 0.8) * draw.detail)
    if kind == "motion":
        length = round(draw.integer(2, 4) * draw.detail)
        return cv2.blur(image, (length, 1) if draw.chance(0.5) else (1, length))
    return image
