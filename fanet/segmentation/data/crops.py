"""Batches of random crops from images held in memory."""

import numpy as np
import torch

from fanet.segmentation.preprocessing import Preprocessing


class CropStream:
    """An endless, repeatable stream of augmented batches.

    Batch `i` is a pure function of (seed, i): a run resumed at step `i` sees what the uninterrupted run saw there. A
    sample is a random image, cut at a random place, mirrored or not and turned by a random quarter (by a half where
    the crop is no square), so that all symmetries of the rectangle are equally likely.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, crop: tuple[int, int], batch_size: int, seed: int
    ) -> None:
        """Args:
            images: (N, H, W, 3) uint8.
            labels: (N, H, W) uint8.
            crop: height and width of a sample, at most those of the images.
            batch_size: samples in a batch.
            seed: the stream.

        Raises:
            ValueError: the crop is larger than the images.
        """
        if crop[0] > images.shape[1] or crop[1] > images.shape[2]:
            raise ValueError(f"a crop of {crop} does not fit into images of {images.shape[1:3]}")
        self.images, self.labels, self.crop = images, labels, crop
        self.batch_size, self.seed = batch_size, seed

    def batch(self, iteration: int, part: int = 0, parts: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Part `part` of `parts` of a batch: images (B / parts, h, w, 3) and labels (B / parts, h, w), uint8.

        The parts together are the same batch for any number of parts, so processes can share the work.
        """
        rng = np.random.default_rng([self.seed, iteration])
        height, width = self.crop
        which = rng.integers(len(self.images), size=self.batch_size)
        top = rng.integers(self.images.shape[1] - height + 1, size=self.batch_size)
        left = rng.integers(self.images.shape[2] - width + 1, size=self.batch_size)
        mirrored = rng.integers(2, size=self.batch_size)
        turns = rng.integers(4, size=self.batch_size) if height == width else 2 * rng.integers(2, size=self.batch_size)

        samples = range(part, self.batch_size, parts)
        images = np.empty((len(samples), height, width, 3), dtype=np.uint8)
        labels = np.empty((len(samples), height, width), dtype=np.uint8)
        for row, sample in enumerate(samples):
            window = np.s_[which[sample], top[sample] : top[sample] + height, left[sample] : left[sample] + width]
            for source, batch in ((self.images, images), (self.labels, labels)):
                view = source[window]
                batch[row] = np.rot90(view[:, ::-1] if mirrored[sample] else view, turns[sample])
        return images, labels


def to_input(images: np.ndarray, preprocessing: Preprocessing, device: torch.device | str = "cpu") -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised, on `device`; channels-last in memory, as images are."""
    return preprocessing.normalize(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
