"""The random choices of one scene, under names that read well."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from fanet.scenes import textures

Range = tuple[float, float]


@dataclass(frozen=True)
class Draw:
    """Draws numbers, colours and textures for one scene.

    `difficulty` is the scene's, in 0..1. `detail` is the size in pixels of what is one pixel wide in a small scene,
    1 or more: printed letters, grain and flutes are that much larger in a large frame.
    """

    rng: np.random.Generator
    difficulty: float
    detail: float = 1.0

    def between(self, low: float, high: float) -> float:
        """A number between two others, all equally likely."""
        return low + (high - low) * self.rng.random()

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` up to, not including, `high`."""
        return int(self.rng.integers(low, high))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self.rng.random() < probability

    def angle(self) -> float:
        """An angle in radians, 0..2π."""
        return self.between(0, 2 * math.pi)

    def one_of(self, weights: Mapping[str, float]) -> str:
        """One of the keys, each as likely as its weight says; the weights need no particular sum."""
        remaining = self.between(0, sum(weights.values()))
        for key, weight in weights.items():
            remaining -= weight
            if remaining < 0:
                return key
        return list(weights)[-1]  # rounding left nothing to choose

    def pixels(self, size: float, share: Range, at_least: int = 8) -> int:
        """A length in whole pixels: a share of `size` within a range, but `at_least` so many."""
        return max(at_least, int(size * self.between(*share)))

    def colour(self, hue: Range = (0, 1), saturation: Range = (0, 1), value: Range = (0, 1)) -> np.ndarray:
        """An RGB colour (3,) in 0..1 whose hue (0..1, taken modulo 1), saturation and value lie in ranges."""
        return hsv(self.between(*hue), self.between(*saturation), self.between(*value))

    def texture(self, kind: str, shape: tuple[int, int], stretch: float = 1.0) -> np.ndarray:
        """A window (h, w) of a texture kind, see `textures.tiles`; not to be written to."""
        return textures.window(self.rng, kind, shape, stretch * self.detail)

    def curve(self, length: int, knots: int) -> np.ndarray:
        """A smooth random curve (length,) around 0 with about `knots` independent values."""
        values = self.rng.standard_normal((1, knots), dtype=np.float32)
        return cv2.resize(values, (length, 1), interpolation=cv2.INTER_CUBIC)[0]


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """The RGB colour (3,) float32 of a hue (modulo 1), saturation and value in 0..1."""
    sector = (np.array([5, 3, 1], np.float32) + hue % 1 * 6) % 6
    return (value * (1 - saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1))).astype(np.float32)
