"""How an image goes through a network: everything about a prediction except the network itself."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from fanet.classes import ClassScheme
from fanet.errors import InputWarning, UserError
from fanet.media.channels import read_channels
from fanet.segmentation.bilinear import resize
from fanet.segmentation.prediction.thresholds import PurityThresholds
from fanet.segmentation.prediction.windows import (
    OVERLAP,
    check_window,
    label_and_confidence_maps,
    label_map,
    logit_map,
)
from fanet.segmentation.preprocessing import Preprocessing

# Normalised images (B, 3, H, W) -> logits (B, num_classes, h, w) at any scale.
Engine = Callable[[torch.Tensor], torch.Tensor]

LARGEST_SCALE = 8


@dataclass(frozen=True)
class Predictor:
    """Predicts the labels or probabilities of an image, with any engine that runs the network.

    Attributes:
        engine: Normalised images (B, 3, h, w) -> logits (B, num_classes, any, any), which are resized to (h, w).
        preprocessing: Turns an image into the network's input.
        classes: What the labels mean.
        device: Device on which the engine takes images.
        dtype: Floating-point type in which the engine takes images.
        window: Height and width of a sliding window; None for the whole image.
        overlap: Minimum overlap of neighbouring windows, 0..0.9 of their side.
        scales: Factors, 1/8..8, on the size at which the network sees the image; probabilities are averaged.
        flip: Whether to average over the mirrored image, too.
        channels: Number of channels of an image.
        thresholds: Pixels whose class is less probable than its threshold get the ignored label, and images that differ
            from those that the thresholds were found on give an `InputWarning`; None for labels without thresholds.

    Raises:
        UserError: The window or a scale is invalid.
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
    channels: int = 3
    thresholds: PurityThresholds | None = None

    def __post_init__(self) -> None:
        if self.window is not None:
            check_window(self.window, self.overlap)
        if not self.scales or not all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in self.scales):
            raise UserError(
                f"scales must be one or more numbers in {1 / LARGEST_SCALE}..{LARGEST_SCALE}, got {self.scales}"
            )

    def for_calls(self, calls: int) -> "Predictor":
        """Return a predictor for up to `calls` threads at once, or this one if its engine is not faster that way.

        Only OpenVINO's is. `auto` has to have chosen one, which it does on its first image.
        """
        several = getattr(self.engine, "for_calls", None)
        engine = several(calls) if several else self.engine
        return self if engine is self.engine else replace(self, engine=engine)

    @torch.inference_mode()
    def labels(self, image: PIL.Image.Image | np.ndarray | str | Path, name: str | None = None) -> np.ndarray:
        """Return the class index of every pixel, (H, W) uint8; if scores are equal, the first class.

        Args:
            image: A PIL image, an (H, W, 3) uint8 RGB array or a path.
            name: What warnings call an image that is no path.

        Raises:
            UserError: The image cannot be read, or the network takes no images of its size.
        """
        if self.thresholds is not None:
            return self.labels_and_confidence(image, name)[0]
        pixels = self._read(image)
        if self._count == 1:  # nothing to average, so it can go class by class, in little memory
            network, view = next(self._views(pixels))
            labels = label_map(network, view, _size(pixels), self.window, self.overlap)
        else:
            labels = self._summed(pixels).argmax(1)[0].to(torch.uint8)
        return labels.cpu().numpy()

    @torch.inference_mode()
    def labels_and_confidence(
        self, image: PIL.Image.Image | np.ndarray | str | Path, name: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `labels` does, and the largest probability at every pixel, (H, W) float32 in 0..1.

        It takes much less memory than `probabilities`, with many classes above all. Args and errors as for `labels`.
        """
        pixels = self._read(image)
        if self._count == 1:
            network, view = next(self._views(pixels))
            labels, confidence = label_and_confidence_maps(network, view, _size(pixels), self.window, self.overlap)
        else:
            best = self._summed(pixels).max(1)
            labels, confidence = best.indices[0].to(torch.uint8), best.values[0] / self._count
        probability = confidence.cpu().numpy()
        return self._called(pixels, labels.cpu().numpy(), probability, _name(image, name)), probability

    @torch.inference_mode()
    def probabilities(self, image: PIL.Image.Image | np.ndarray | str | Path) -> np.ndarray:
        """Return the probability of every class at every pixel: (num_classes, H, W) float32, summing to 1 per pixel.

        Args and errors as for `labels`.
        """
        return self._summed(self._read(image)).div_(self._count)[0].cpu().numpy()

    @torch.inference_mode()
    def labels_and_probabilities(
        self, image: PIL.Image.Image | np.ndarray | str | Path, name: str | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `labels` and what `probabilities` does, from one run of the network. Args and errors as there."""
        pixels = self._read(image)
        if self._count == 1:  # the labels are of the logits: the softmax rounds close ones to the same number
            network, view = next(self._views(pixels))
            logits = logit_map(network, view, _size(pixels), self.window, self.overlap)
            labels, probabilities = logits.argmax(1), logits.softmax(1)
        else:
            total = self._summed(pixels)
            labels, probabilities = total.argmax(1), total.div_(self._count)
        found = probabilities[0].cpu().numpy()
        strongest = labels[0].to(torch.uint8).cpu().numpy()
        if self.thresholds is not None:
            strongest = self._called(pixels, strongest, found.max(axis=0), _name(image, name))
        return strongest, found

    def _called(self, pixels: np.ndarray, labels: np.ndarray, probability: np.ndarray, name: str) -> np.ndarray:
        """Return labels with the ignored one below the thresholds, and warn if they may not hold for the image."""
        if self.thresholds is None:
            return labels
        if self.scales != (1.0,) or self.flip or self.window != self.thresholds.window:
            warnings.warn(
                InputWarning(
                    "the model's thresholds were found with another window, or without scales and flip: they may not "
                    "keep their promise (find them again by `fanet calibrate`, or leave them out)",
                    "another way of predicting",
                ),
                stacklevel=3,
            )
        labels = self.thresholds.apply(labels, probability, self.classes.ignore_index)
        if found := self.thresholds.differences(pixels, labels, probability, self.classes):
            warnings.warn(
                InputWarning(
                    f"{name} is unlike the images that the model's thresholds were found on ({', '.join(found)}): its "
                    f"labels may be less pure than {self.thresholds.purity:g}",
                    "thresholds",
                ),
                stacklevel=3,
            )
        return labels

    def _read(self, image: PIL.Image.Image | np.ndarray | str | Path) -> np.ndarray:
        # without windows, the network's memory ends long before Pillow's limit
        return read_channels(image, self.channels, large=self.window is not None)

    @property
    def _count(self) -> int:
        """Number of views of an image that the network sees."""
        return len(self.scales) * (2 if self.flip else 1)

    def _views(self, pixels: np.ndarray) -> Iterator[tuple[Engine, torch.Tensor]]:
        """Yield the image at every scale, (1, 3, h, w) uint8, and the function that runs the network on it."""
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
        # resized before they are mirrored back: coarse logits resized afterwards would round differently
        return resize(self._network(view.flip(-1)), view.shape[-2:]).flip(-1)

    def _summed(self, pixels: np.ndarray) -> torch.Tensor:
        """Sum the probabilities of all views: (1, num_classes, H, W) float32."""
        total: torch.Tensor | None = None
        for network, view in self._views(pixels):
            scores = logit_map(network, view, _size(pixels), self.window, self.overlap).softmax(1)
            total = scores if total is None else total.add_(scores)
        assert total is not None, "there is at least one scale"
        return total


def _size(pixels: np.ndarray) -> tuple[int, int]:
    """Return height and width."""
    return pixels.shape[0], pixels.shape[1]


def _name(image: PIL.Image.Image | np.ndarray | str | Path, name: str | None) -> str:
    """Return what a warning calls an image."""
    return name or (str(image) if isinstance(image, str | Path) else "an image")
