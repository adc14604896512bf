"""How an image goes through a network: everything about a prediction but the network itself."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.media.images import read_image
from fanet.segmentation.bilinear import resize
from fanet.segmentation.prediction.windows import OVERLAP, check_window, label_map, logit_map
from fanet.segmentation.preprocessing import Preprocessing

# Normalised images (B, 3, H, W) -> logits (B, num_classes, h, w) at any scale.
Engine = Callable[[torch.Tensor], torch.Tensor]

LARGEST_SCALE = 8


@dataclass(frozen=True)
class Predictor:
    """Labels or probabilities of an image, by whatever runs the network.

    Attributes:
        engine: Normalised images (B, 3, h, w) -> logits (B, num_classes, any, any), which are resized to (h, w).
        preprocessing: What an image goes through before.
        classes: What the labels mean.
        device: Where the engine takes images.
        dtype: Floating-point type in which it takes them.
        window: Height and width of what the network sees at once; None for the whole image.
        overlap: The least share of its side, 0..0.9, that a window has in common with its neighbour.
        scales: Factors, 1/8..8, on the size at which the network sees the image; probabilities are averaged.
        flip: Whether to average over the mirrored image, too.

    Raises:
        UserError: the window or a scale makes no sense.
    """

    engine: Engine
    preprocessing: Preprocessing
    classes: ClassScheme
    device: torch.device | str = "cpu"
    dtype: torch.dtype = torch.float32
    window: tuple[int, int] | None = None
    overlap: float = OVERLAP
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if self.window is not None:
            check_window(self.window, self.overlap)
        if not self.scales or not all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in self.scales):
            raise UserError(
                f"scales must be one number or more, each in {1 / LARGEST_SCALE}..{LARGEST_SCALE}, got {self.scales}"
            )

    @torch.inference_mode()
    def labels(self, image: PIL.Image.Image | np.ndarray | str | Path) -> np.ndarray:
        """Return the class index of every pixel, (H, W) uint8; of equal scores the first class wins.

        Args:
            image: A PIL image, an (H, W, 3) uint8 RGB array or a path.

        Raises:
            UserError: the image cannot be read, or the network takes no images of its size.
        """
        pixels = read_image(image)
        if self._count == 1:  # nothing to average: class by class, in little memory
            network, view = next(self._views(pixels))
            labels = label_map(network, view, _size(pixels), self.window, self.overlap)
        else:
            labels = self._summed(pixels).argmax(1)[0].to(torch.uint8)
        return labels.cpu().numpy()

    @torch.inference_mode()
    def probabilities(self, image: PIL.Image.Image | np.ndarray | str | Path) -> np.ndarray:
        """Return the probability of every class at every pixel: (num_classes, H, W) float32, which sum to 1 at a pixel.

        Args and errors as for `labels`.
        """
        return self._summed(read_image(image)).div_(self._count)[0].cpu().numpy()

    @property
    def _count(self) -> int:
        """How many views of an image the network is shown."""
        return len(self.scales) * (2 if self.flip else 1)

    def _views(self, pixels: np.ndarray) -> Iterator[tuple[Engine, torch.Tensor]]:
        """The image as the network shall see it, (1, 3, h, w) uint8, at every scale, with the network for it."""
        for scale in self.scales:
            view = self.preprocessing.scaled(scale, _size(pixels)).resized(pixels, self.device)
            yield self._network, view
            if self.flip:
                yield self._mirrored_network, view

    def _network(self, view: torch.Tensor) -> torch.Tensor:
        """(1, 3, h, w) of 0..255 -> (1, num_classes, any, any) float32"""
        logits = self.engine(self.preprocessing.normalize(view).to(self.dtype))
        if logits.dtype == torch.float16 and not logits.isfinite().all():
            warnings.warn(
                "the network overflows float16, so labels are wrong: use bfloat16 or float32, or scale_for_half",
                stacklevel=2,
            )
        return logits.float()

    def _mirrored_network(self, view: torch.Tensor) -> torch.Tensor:
        # at its full size before it is mirrored back: resized afterwards, coarse logits would round differently
        return resize(self._network(view.flip(-1)), view.shape[-2:]).flip(-1)

    def _summed(self, pixels: np.ndarray) -> torch.Tensor:
        """The sum of the probabilities of all views: (1, num_classes, H, W) float32."""
        total: torch.Tensor | None = None
        for network, view in self._views(pixels):
            scores = logit_map(network, view, _size(pixels), self.window, self.overlap).softmax(1)
            total = scores if total is None else total.add_(scores)
        assert total is not None, "there is at least one scale"
        return total


def _size(pixels: np.ndarray) -> tuple[int, int]:
    """Height and width."""
    return pixels.shape[0], pixels.shape[1]
