"""Data sets that are another one with something changed."""

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.dataset import SegmentationDataset, shortened


class Changed(SegmentationDataset):
    """Another data set, whose samples a subclass changes as they are read."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset, self.classes = dataset, dataset.classes
        self.names, self.channels, self.notes = dataset.names, dataset.channels, dataset.notes
        self.missing_masks, self.missing_images = dataset.missing_masks, dataset.missing_images
        self.ignores_by_default = dataset.ignores_by_default

    def unlisted(self) -> list[str]:
        return self.dataset.unlisted()

    def image_paths(self) -> set[str]:
        return self.dataset.image_paths()

    def cure(self, values: Sequence[int]) -> str | None:
        return self.dataset.cure(values)

    def load_image(self, index: int) -> np.ndarray:
        return self.dataset.load_image(index)

    def load_labels(self, index: int) -> np.ndarray:
        return self.dataset.load_labels(index)


class FirstClasses(Changed):
    """Only the first classes of another data set: pixels of the others are labelled as ignored.

    Args:
        dataset: The data set.
        classes: The classes to keep.

    Raises:
        UserError: The classes of the data set do not begin with them.
    """

    def __init__(self, dataset: SegmentationDataset, classes: ClassScheme) -> None:
        super().__init__(dataset)
        if dataset.classes.names[: len(classes)] != classes.names:
            raise UserError(
                f"the run has the classes {shortened(classes.names, 8)}, the data set "
                f"{shortened(dataset.classes.names, 8)}: start a new run, with model.init_from if it should begin with "
                "this one's weights"
            )
        left = shortened(dataset.classes.names[len(classes) :], 8)
        self.classes = classes
        self.notes = [*dataset.notes, f"the run has no class {left}: its pixels are ignored"]
        self._table = np.full(256, classes.ignore_index, dtype=np.uint8)
        self._table[: len(classes)] = range(len(classes))
        self._table[dataset.classes.ignore_index] = classes.ignore_index

    def load_labels(self, index: int) -> np.ndarray:
        return self._table[super().load_labels(index)]


class Trimmed(Changed):
    """Another data set without the outer rows and columns of images in which no pixel is labelled.

    Exports that were rotated or made square have such padding; crops would fall into it.
    """

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image, labels = self.dataset.load(index)
        rows, columns = np.nonzero(labels != self.classes.ignore_index)
        if not len(rows) or labels.shape != image.shape[:2]:
            return image, labels
        inner = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        return image[inner], labels[inner]

    def load_image(self, index: int) -> np.ndarray:
        return self.load(index)[0]

    def load_labels(self, index: int) -> np.ndarray:
        return self.load(index)[1]


class Shrunken(Changed):
    """Another data set with large images reduced: for photographs with many more pixels than a network is shown.

    Args:
        dataset: The data set.
        longest_side: Images whose longer side has more pixels are reduced to it, with anti-aliasing, and their labels
            to the same size, by the nearest pixel.
    """

    def __init__(self, dataset: SegmentationDataset, longest_side: int) -> None:
        super().__init__(dataset)
        self.longest_side = longest_side

    def load_image(self, index: int) -> np.ndarray:
        return self._reduced(super().load_image(index), InterpolationMode.BILINEAR)

    def load_labels(self, index: int) -> np.ndarray:
        return self._reduced(super().load_labels(index), InterpolationMode.NEAREST_EXACT)

    def _reduced(self, pixels: np.ndarray, interpolation: InterpolationMode) -> np.ndarray:
        height, width = pixels.shape[:2]
        factor = self.longest_side / max(height, width)
        if factor >= 1:
            return pixels
        size = [max(1, round(side * factor)) for side in (height, width)]
        planes = torch.from_numpy(pixels.reshape(height, width, -1)).permute(2, 0, 1)
        reduced = F.resize(planes, size, interpolation, antialias=interpolation is InterpolationMode.BILINEAR)
        return reduced.permute(1, 2, 0).contiguous().numpy().reshape(*size, *pixels.shape[2:])
