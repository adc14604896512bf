"""Augmentation of an image and its labels for training, as in the published ZeroWaste-f pipeline.

Resizing, cropping, flipping, hue shifts and padding are torchvision's. Two steps are not, because torchvision's
versions differ from the pipeline that the published weights were trained with:

- `v2.RandomPhotometricDistort` has the same random steps, but scales brightness where the pipeline adds an offset (its
  0.875..1.125 are 1 -+ 32/255), blends contrast with the mean grey where the pipeline multiplies, blends saturation
  with the grey of each pixel where the pipeline scales the S of HSV, and shifts hues by at most +-0.05 of the circle,
  while +-18 in OpenCV's unit of 2 degrees are +-0.1.
- `v2.RandomCrop` does not look at classes.

All randomness of a sample comes from one generator, so the same seed gives the same sample.
"""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from fanet.recipes.fields import Between, PositivePair
from fanet.segmentation.data.dataset import Sample
from fanet.segmentation.preprocessing import Preprocessing

HUES = 180  # OpenCV counts hues in steps of 2 degrees


def sample_rng(*numbers: int) -> torch.Generator:
    """Build the random generator of one sample from the numbers that identify it, such as (seed, number)."""
    words = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0]))


@dataclass(frozen=True)
class AugmentationSettings:
    """The recipe's section `augmentation`; see `TrainTransform`."""

    fit: Annotated[list[int] | None, PositivePair()]
    ratios: Annotated[list[float], PositivePair()]
    crop: Annotated[list[int], PositivePair()]
    class_limit: Annotated[float, Between(0, 1)]
    balanced: Annotated[float, Between(0, 1)]
    flip: Annotated[float, Between(0, 1)]
    turns: bool
    photometric: bool

    def build(self, preprocessing: Preprocessing, ignore_index: int) -> "TrainTransform":
        """Build the transform for a network with this preprocessing."""
        pairs: dict[str, Any] = {"fit": self.fit and tuple(self.fit), "ratios": tuple(self.ratios)}
        return TrainTransform(
            **asdict(self) | pairs | {"crop": tuple(self.crop)},
            mean=preprocessing.mean,
            std=preprocessing.std,
            ignore_index=ignore_index,
        )


@dataclass(frozen=True)
class TrainTransform:
    """Turns a sample into an image (3, h, w) float32, normalised, and labels (h, w) int64, both of the crop's size.

    The defaults are the published values. Steps are applied in the order of the attributes.

    Attributes:
        fit: (long, short): the image is resized, keeping its aspect ratio, to the largest size whose longer and shorter
            side are at most these times a random ratio; None stands for the image's own sides.
        ratios: The range of that ratio.
        crop: Height and width of a random crop; smaller images are kept whole.
        class_limit: Maximum share of one class among the counted pixels of the crop; crops are drawn until one meets
            it, at most `tries` times. 1 accepts any crop.
        tries: Maximum number of crops drawn.
        balanced: Probability that the crop is drawn for a class instead: a random class of the image, each equally
            likely, then one of its pixels, then a crop that contains that pixel. Rare classes are seen more often.
        flip: Probability of a horizontal flip.
        turns: Whether to rotate crops by a random multiple of 90 degrees, or of 180 degrees if they are not square.
        photometric: Whether to change the colours by `Distortion.draw`.
        mean, std: Mean and standard deviation for normalising, of RGB values in 0..1.
        ignore_index: The label of pixels that do not count. Images smaller than the crop are padded at the right and
            at the bottom, after normalising, with 0, and their labels with this.
    """

    fit: tuple[int, int] | None = (2048, 512)
    ratios: tuple[float, float] = (0.5, 2.0)
    crop: tuple[int, int] = (512, 512)
    class_limit: float = 0.75
    tries: int = 10
    balanced: float = 0.0
    flip: float = 0.5
    turns: bool = False
    photometric: bool = True
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD
    ignore_index: int = 255

    def __call__(self, sample: Sample, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Transform a sample, with random numbers from `rng`.

        Raises:
            ValueError: The sample has no labels.
        """
        if sample.labels is None:
            raise ValueError(f"{sample.name} has no labels to train on")
        image = tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1))
        labels = tv_tensors.Mask(torch.from_numpy(sample.labels)[None])

        image, labels = self._resize(image, labels, _uniform(rng, *self.ratios))
        top, left = self._window(labels, rng)
        height, width = (min(side, of) for side, of in zip(self.crop, labels.shape[-2:], strict=True))
        image, labels = (F.crop(x, top, left, height, width) for x in (image, labels))
        if _chance(rng, self.flip):
            image, labels = F.horizontal_flip(image), F.horizontal_flip(labels)
        if self.turns:
            quarters = _integer(rng, 4) * (1 if self.crop[0] == self.crop[1] else 2)
            image, labels = torch.rot90(image, quarters, (-2, -1)), torch.rot90(labels, quarters, (-2, -1))
        pixels: torch.Tensor = image.as_subclass(torch.Tensor)
        if self.photometric:
            pixels = Distortion.draw(rng)(pixels)
        pixels = Preprocessing(self.mean, self.std).normalize(pixels)
        height, width = labels.shape[-2:]  # a rotation may have swapped them
        padding = [0, 0, self.crop[1] - width, self.crop[0] - height]
        pixels = F.pad(pixels, padding, fill=0)
        return pixels.contiguous(), F.pad(labels, padding, fill=self.ignore_index)[0].as_subclass(torch.Tensor).long()

    def _resize(self, image: torch.Tensor, labels: torch.Tensor, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Resize image and labels, without anti-aliasing.

        Bilinear differs from OpenCV's INTER_LINEAR, whose weights have 11 bits, by at most one grey level. Nearest
        takes the pixels of INTER_NEAREST, floor(x * old / new), but with the quotient in 32 bits: about one column or
        row in 2000, where the product is a whole number, is the neighbour of OpenCV's.
        """
        height, width = image.shape[-2:]
        long, short = self.fit or (max(height, width), min(height, width))
        sizes = Preprocessing(fit=(max(1, int(long * ratio)), max(1, int(short * ratio)))).sizes(height, width)
        for size in sizes:
            image = F.resize(image, size, InterpolationMode.BILINEAR, antialias=False)
            labels = F.resize(labels, size, InterpolationMode.NEAREST)
        return image, labels

    def _window(self, labels: torch.Tensor, rng: torch.Generator) -> tuple[int, int]:
        """Draw top and left of the crop. A crop of a single class never meets the limit; after `tries` any is taken."""
        rooms = [max(of - side, 0) for side, of in zip(self.crop, labels.shape[-2:], strict=True)]
        if self.balanced and _chance(rng, self.balanced):
            return self._window_of_a_class(labels[0], rooms, rng)
        for _ in range(self.tries if self.class_limit < 1 else 0):
            top, left = (_integer(rng, room + 1) for room in rooms)
            window = labels[0, top : top + self.crop[0], left : left + self.crop[1]]
            if largest_share(window, self.ignore_index) < self.class_limit:
                return top, left
        return _integer(rng, rooms[0] + 1), _integer(rng, rooms[1] + 1)

    def _window_of_a_class(self, labels: torch.Tensor, rooms: list[int], rng: torch.Generator) -> tuple[int, int]:
        """Draw top and left of a crop around a random pixel of a random class; any crop if no pixel counts."""
        present = torch.unique(labels[labels != self.ignore_index])
        if not len(present):
            return _integer(rng, rooms[0] + 1), _integer(rng, rooms[1] + 1)
        pixels = (labels == present[_integer(rng, len(present))]).nonzero()
        place = pixels[_integer(rng, len(pixels))].tolist()
        top, left = (
            min(max(at - _integer(rng, side), 0), room) for at, side, room in zip(place, self.crop, rooms, strict=True)
        )
        return top, left


def largest_share(labels: torch.Tensor, ignore_index: int = 255) -> float:
    """Return the share, 0..1, of the most frequent class among the pixels that count; 1 if none does.

    Args:
        labels: Labels, uint8, of any shape.
        ignore_index: The label that does not count.
    """
    counts = torch.bincount(labels.flatten(), minlength=256)
    counts[ignore_index] = 0
    total = int(counts.sum())
    return int(counts.max()) / total if total else 1.0


@dataclass(frozen=True)
class Distortion:
    """Photometric distortion, (3, H, W) uint8 -> the same. Steps round to whole values in 0..255; None skips a step.

    Attributes:
        brightness: Offset on the values, -32..32.
        contrast: Factor on the values, 0.5..1.5.
        contrast_first: Whether contrast comes before saturation and hue, or after them.
        saturation: Factor on the S of HSV, 0.5..1.5.
        hue: Shift of the H of HSV, in OpenCV's steps of 2 degrees, -18..17.
    """

    brightness: float | None = None
    contrast: float | None = None
    contrast_first: bool = True
    saturation: float | None = None
    hue: int | None = None

    @classmethod
    def draw(cls, rng: torch.Generator) -> "Distortion":
        """Draw each of the four steps with probability 1/2, uniformly from its range."""
        # All numbers are drawn, used or not, so that every sample takes as many from the generator.
        used = [_chance(rng, 0.5) for _ in range(4)]
        values = (_uniform(rng, -32, 32), _uniform(rng, 0.5, 1.5), _uniform(rng, 0.5, 1.5), _integer(rng, 36) - 18)
        brightness, contrast, saturation, hue = (
            value if use else None for value, use in zip(values, used, strict=True)
        )
        return cls(brightness, contrast, _chance(rng, 0.5), saturation, None if hue is None else int(hue))

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        x = image.float()
        if self.brightness is not None:
            x = _whole(x + self.brightness)
        if self.contrast is not None and self.contrast_first:
            x = _whole(x * self.contrast)
        in_colour = len(x) == 3  # other channels have no saturation or hue
        if self.saturation is not None and in_colour:
            x = _whole(_saturate(x, self.saturation))
        if self.hue is not None and in_colour:
            x = _whole(255 * F.adjust_hue(x / 255, self.hue / HUES))
        if self.contrast is not None and not self.contrast_first:
            x = _whole(x * self.contrast)
        return x.to(torch.uint8)


def _saturate(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Scale the S of HSV, limited to 1. H and V, the largest of the three values, stay the same."""
    value, lowest = x.amax(0), x.amin(0)
    # With S = (value - lowest) / value, S * factor <= 1 until the lowest channel reaches 0.
    factors = (value / (value - lowest).clamp(min=1)).clamp(max=factor)
    return value - factors * (value - x)


def _whole(x: torch.Tensor) -> torch.Tensor:
    return x.round_().clamp_(0, 255)


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng, dtype=torch.float64))


def _integer(rng: torch.Generator, count: int) -> int:
    """Draw one of 0 … count - 1."""
    return int(torch.randint(count, (), generator=rng))


def _chance(rng: torch.Generator, probability: float) -> bool:
    return _uniform(rng, 0, 1) < probability
