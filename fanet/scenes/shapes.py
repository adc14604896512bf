"""Outlines of objects, as masks (h, w) float32: 1 inside, 0 outside, in between on the border."""

import math

import cv2
import numpy as np

from fanet.scenes.draw import Draw

Shape = tuple[int, int]
SUBPIXEL_BITS = 4  # OpenCV takes polygon corners as fixed-point numbers


def grid(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates y (h, 1) and x (1, w) of the pixel centres, each from -1 to 1 across the image."""
    height, width = shape
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) * (2 / height) - 1
    x = (np.arange(width, dtype=np.float32)[None] + 0.5) * (2 / width) - 1
    return y, x


def inside(margin: np.ndarray) -> np.ndarray:
    """Return a mask of where a signed distance in pixels is positive, with a soft border of one pixel."""
    return np.clip(margin + 0.5, 0, 1).astype(np.float32)


def superellipse_radius(y: np.ndarray, x: np.ndarray, power: float) -> np.ndarray:
    """Return the distance from the centre, 1 on the border: a circle for power 2, ever squarer rectangles above."""
    return (np.abs(x) ** power + np.abs(y) ** power) ** (1 / power)


def superellipse(shape: Shape, radius: np.ndarray, border: float) -> np.ndarray:
    """Return the mask of a superellipse up to the radius `border`, given its `superellipse_radius`."""
    return inside((border - radius) * min(shape) / 2)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Convert points (n, 2), x and y in pixels, to the fixed-point integers of OpenCV's subpixel drawing."""
    return np.round(points * 2**SUBPIXEL_BITS).astype(np.int32)


def polygon(shape: Shape, points: np.ndarray) -> np.ndarray:
    """Return the mask of a polygon with corners (n, 2), x and y in pixels."""
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [fixed_point(points)], 255, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas.astype(np.float32) / 255


def ragged_quadrilateral(draw: Draw, shape: Shape, skew: float, tear: float) -> np.ndarray:
    """Return the mask of a rectangle with displaced corners and some torn sides.

    `skew` is how far corners move, as a share of the sides; `tear` how deep tears are, as a share of the short side.
    """
    height, width = shape
    sides = np.array([width, height], np.float32)
    corners = np.array([[0.03, 0.03], [0.97, 0.03], [0.97, 0.97], [0.03, 0.97]], np.float32)
    corners = (corners + draw.rng.uniform(-skew, skew, (4, 2)).astype(np.float32)) * sides
    outline = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        length = math.hypot(*along) + 1e-6
        count = max(3, int(length / 3))
        torn = draw.chance(0.45)
        depth = draw.curve(count, max(4, count // 6))
        if torn:
            depth = depth + 0.45 * draw.curve(count, max(4, count // 2))
        # An untorn side is slightly wavy: no cut is perfectly straight.
        depth *= 0.8 * min(shape) * (tear if torn else 0.008)
        normal = np.array([-along[1], along[0]], np.float32) / length
        steps = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)[:, None]
        outline.append(start + along * steps + normal * depth[:, None])
    return polygon(shape, np.concatenate(outline))


def blob(draw: Draw, shape: Shape, roughness: float) -> np.ndarray:
    """Return the mask of a rounded lump whose outline bulges in and out; `roughness` 0 is smooth, 0.5 is ragged."""
    height, width = shape
    angles = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    waves = np.arange(2, 9)[:, None]
    strengths = roughness * draw.rng.standard_normal((7, 1)) / (waves - 0.5)
    bulges = strengths * np.cos(waves * angles + draw.rng.uniform(0, 2 * math.pi, (7, 1)))
    radius = np.clip(0.8 * (1 + bulges.sum(0)), 0.2, 1)
    squareness = draw.between(0.6, 1)
    x, y = (np.sign(side) * np.abs(side) ** squareness for side in (np.cos(angles), np.sin(angles)))
    return polygon(shape, np.stack([(1 + radius * x) * width / 2, (1 + radius * y) * height / 2], axis=1))
