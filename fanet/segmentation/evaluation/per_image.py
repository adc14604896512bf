"""The counts of every image of an evaluation in a small file, from which evaluations are compared."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ImageCounts

#: The name of the file in the folder of an evaluation, and of a run for its last evaluation.
PER_IMAGE_NAME = "per_image.npz"


@dataclass(frozen=True)
class PerImage:
    """What an evaluation counted of every image, without the images.

    Attributes:
        images: Names of the N images.
        classes: Names of the classes.
        margins: Of the confusion matrix of each image the diagonal, the sums of its rows (truth) and those of its
            columns (prediction), (N, 3, num_classes) int64: all that IoU and accuracy need.
    """

    images: Sequence[str]
    classes: Sequence[str]
    margins: np.ndarray

    @classmethod
    def of(cls, dataset: SegmentationDataset, counts: ImageCounts) -> "PerImage":
        """Return those of an evaluation of a data set."""
        return cls(dataset.names, dataset.classes.names, counts.margins)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            UserError: The folder does not exist or cannot be written to, or the disk is full.
        """
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary, images=np.array(self.images), classes=np.array(self.classes), margins=self.margins
            )

    @classmethod
    def load(cls, path: Path) -> "PerImage":
        """Read the file; nothing in it is run.

        Raises:
            UserError: It is no such file, or damaged.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                images, classes, margins = (arrays[key] for key in ("images", "classes", "margins"))
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read: run `fanet evaluate` again") from error
        if margins.shape != (len(images), 3, len(classes)):
            raise UserError(f"{path} does not hold the counts of an evaluation: run `fanet evaluate` again")
        return cls(images.tolist(), classes.tolist(), margins.astype(np.int64))
