"""From an image to the network's input: the part of a model's configuration that is not the network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from fanet.segmentation.bilinear import resize_uint8


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class Preprocessing:
    """Resizing and normalisation at test time.

    `mean` and `std` are for RGB values in 0..1. With `fit = (long, short)` the image is resized, keeping its aspect
    ratio, to the largest size whose longer side is at most `long` and whose shorter side is at most `short`; None
    keeps its size. Then each side is resized up to the next multiple of `multiple`. ZeroWaste-f's published protocol is
    `fit=(2048, 512), multiple=32`: 1920x1080 becomes 928x512. A network that was trained on crops with such sides needs
    them: at others its strided convolutions read the padding below and on the right, which it has never seen. Resizing
    is bilinear without anti-aliasing, bit for bit as in OpenCV.
    """

    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD
    fit: tuple[int, int] | None = None
    multiple: int = 1

    def __post_init__(self) -> None:
        fits = self.fit is None or (len(self.fit) == 2 and min(self.fit) > 0)
        if not (fits and self.multiple >= 1 and len(self.mean) == len(self.std) and min(self.std) > 0):
            raise ValueError(f"invalid preprocessing: {self.to_dict()}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Invert `to_dict`; lists, as JSON has them, become tuples.

        Raises:
            TypeError: There is an unknown key.
        """
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that can be written as JSON."""
        return asdict(self)

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return the sizes (height, width) to which an image is resized in turn; none if it keeps its size."""
        steps = []
        if self.fit is not None:
            long, short = self.fit
            scale = min(long / max(height, width), short / min(height, width))
            steps.append((max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))))
        last_height, last_width = steps[-1] if steps else (height, width)
        steps.append((_round_up(last_height, self.multiple), _round_up(last_width, self.multiple)))
        sizes = [(height, width), *steps]
        return [after for before, after in zip(sizes, sizes[1:], strict=False) if before != after]

    def scaled(self, scale: float, size: tuple[int, int]) -> "Preprocessing":
        """Return the preprocessing that enlarges an image of this size, (height, width), by the factor `scale`."""
        if scale == 1:
            return self
        long, short = self.fit or (max(size), min(size))
        return replace(self, fit=(max(1, round(long * scale)), max(1, round(short * scale))))

    def __call__(self, image: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, h, w) float32, normalised, on `device`"""
        return self.normalize(self.resized(image, device))

    def resized(self, image: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, h, w) uint8 on `device`; may share memory with the image"""
        # torch warns about read-only arrays
        x = torch.from_numpy(np.require(image, requirements=("C", "W"))).to(device).permute(2, 0, 1)[None]
        for size in self.sizes(image.shape[0], image.shape[1]):
            x = resize_uint8(x, size)
        return x

    def normalize(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) of 0..255, any type -> the same shape, float32, contiguous, normalised"""
        mean = torch.tensor(self.mean, device=x.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=x.device).view(-1, 1, 1)
        # contiguous, as channels-last pixels of three values are too short for vector instructions
        return (x.contiguous().float() / 255).sub_(mean).div_(std)
