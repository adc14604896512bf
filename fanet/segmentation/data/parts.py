"""Some samples of one data set or of several, such as all but those of a fold."""

from collections.abc import Iterable, Mapping

import numpy as np

from fanet.errors import UserError
from fanet.segmentation.data.dataset import SegmentationDataset


class Part(SegmentationDataset):
    """Samples of data sets with the same classes; their names begin with the name of their split.

    Args:
        splits: The data sets by name.
        places: Name of the split and index in it, of every sample; by default all.

    Raises:
        UserError: The data sets differ in their classes or channels.
    """

    def __init__(
        self, splits: Mapping[str, SegmentationDataset], places: Iterable[tuple[str, int]] | None = None
    ) -> None:
        self.splits_by_name = splits
        first, *others = splits.values()
        for other in others:
            if (other.classes.names, other.channels) != (first.classes.names, first.channels):
                raise UserError("the splits have different classes or channels: name those that belong together")
        self.classes, self.channels = first.classes, first.channels
        self.places = list(
            ((name, index) for name, split in splits.items() for index in range(len(split)))
            if places is None
            else places
        )
        self.names = [f"{name}/{splits[name].names[index]}" for name, index in self.places]

    def folds(self, count: int, seed: int = 0) -> list[tuple["Part", "Part"]]:
        """Divide the samples at random into parts of about equal size.

        Args:
            count: Number of parts.
            seed: Seed of the division.

        Returns:
            For each part all samples but its own, and its own.
        """
        fold_of = np.random.default_rng(seed).permutation(len(self)) % count
        return [(self._where(fold_of != fold), self._where(fold_of == fold)) for fold in range(count)]

    def _where(self, wanted: np.ndarray) -> "Part":
        return Part(self.splits_by_name, [self.places[index] for index in np.flatnonzero(wanted)])

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        split, place = self._place(index)
        return split.load(place)

    def load_image(self, index: int) -> np.ndarray:
        split, place = self._place(index)
        return split.load_image(place)

    def load_labels(self, index: int) -> np.ndarray:
        split, place = self._place(index)
        return split.load_labels(place)

    def _place(self, index: int) -> tuple[SegmentationDataset, int]:
        name, place = self.places[index]
        return self.splits_by_name[name], place
