"""The random choices of one scene, by readable names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from fanet.scenes import textures

Range = tuple[float, float]

# Textures of creases, and what each is on a smooth sheet.
SMOOTH = {"crumple": 0.5, "ridge": 0.0}


@dataclass(frozen=True)
class Draw:
    """Draws numbers, colours and textures for one scene.

    Attributes:
        rng: Where the numbers come from.
        difficulty: The scene's, in 0..1.
        detail: 1 or more, the factor by which fine structure (printed letters, grain, flutes) is larger than in a small
            frame.
        creases: Factor on the contrast of creases: 0 for smooth sheets, 1 as drawn.
        film_opacity: Opacity, 0..1, of all films where they are flat; None for each film its own.
    """

    rng: np.random.Generator
    difficulty: float
    detail: float = 1.0
    creases: float = 1.0
    film_opacity: float | None = None

    def between(self, low: float, high: float) -> float:
        """Draw a number uniformly between two others."""
        return low + (high - low) * self.rng.random()

    def integer(self, low: int, high: int) -> int:
        """Draw an integer in `low`..`high`, excluding `high`."""
        return int(self.rng.integers(low, high))

    def chance(self, probability: float) -> bool:
        """Return True with a probability."""
        return self.rng.random() < probability

    def angle(self) -> float:
        """Draw an angle in radians, 0..2π."""
        return self.between(0, 2 * math.pi)

    def one_of(self, weights: Mapping[str, float]) -> str:
        """Draw a key with a probability proportional to its weight."""
        remaining = self.between(0, sum(weights.values()))
        for key, weight in weights.items():
            remaining -= weight
            if remaining < 0:
                return key
        return list(weights)[-1]  # reached by rounding only

    def pixels(self, size: float, share: Range, at_least: int = 8) -> int:
        """Draw a length in whole pixels: a share of `size` within a range, at least `at_least`."""
        return max(at_least, int(size * self.between(*share)))

    def colour(self, hue: Range = (0, 1), saturation: Range = (0, 1), value: Range = (0, 1)) -> np.ndarray:
        """Draw an RGB colour (3,) in 0..1 from ranges of hue (modulo 1), saturation and value."""
        return hsv(self.between(*hue), self.between(*saturation), self.between(*value))

    def texture(self, kind: str, shape: tuple[int, int], stretch: float = 1.0) -> np.ndarray:
        """Draw a read-only window (h, w) of a kind of texture, see `textures.tiles`."""
        drawn = textures.window(self.rng, kind, shape, stretch * self.detail)
        if kind not in SMOOTH or self.creases == 1:
            return drawn
        smooth = np.float32(SMOOTH[kind])
        return smooth + np.float32(self.creases) * (drawn - smooth)

    def curve(self, length: int, knots: int) -> np.ndarray:
        """Draw a smooth random curve (length,) around 0 with about `knots` independent values."""
        values = self.rng.standard_normal((1, knots), dtype=np.float32)
        return cv2.resize(values, (length, 1), interpolation=cv2.INTER_CUBIC)[0]


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Convert hue (modulo 1), saturation and value in 0..1 to an RGB colour (3,) float32."""
    sector = (np.array([5, 3, 1], np.float32) + hue % 1 * 6) % 6
    return (value * (1 - saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1))).astype(np.float32)
