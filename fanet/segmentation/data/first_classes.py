"""A data set that gained classes, for a model that knows only those before them."""

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.dataset import SegmentationDataset, shortened


class FirstClasses(SegmentationDataset):
    """Another data set with its first classes only: pixels of the others are labelled as ignored.

    Args:
        dataset: The data set.
        classes: The classes to keep.

    Raises:
        UserError: The classes of the data set do not begin with them.
    """

    def __init__(self, dataset: SegmentationDataset, classes: ClassScheme) -> None:
        if dataset.classes.names[: len(classes)] != classes.names:
            raise UserError(
                f"the run has the classes {shortened(classes.names, 8)}, the data set "
                f"{shortened(dataset.classes.names, 8)}: start a new run, with model.init_from if it should begin with "
                "this one's weights"
            )
        self.dataset, self.classes = dataset, classes
        self.names, self.channels = dataset.names, dataset.channels
        self.missing_masks, self.missing_images = dataset.missing_masks, dataset.missing_images
        left = shortened(dataset.classes.names[len(classes) :], 8)
        self.notes = [*dataset.notes, f"the run has no class {left}: its pixels are ignored"]
        self._table = np.full(256, classes.ignore_index, dtype=np.uint8)
        self._table[: len(classes)] = range(len(classes))
        self._table[dataset.classes.ignore_index] = classes.ignore_index

    def image_paths(self) -> set[str]:
        return self.dataset.image_paths()

    def load_image(self, index: int) -> np.ndarray:
        return self.dataset.load_image(index)

    def load_labels(self, index: int) -> np.ndarray:
        return self._table[self.dataset.load_labels(index)]
