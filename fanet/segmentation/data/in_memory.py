"""A data set held in memory, for data that is small and slow to read or to draw."""

import numpy as np

from fanet.segmentation.data.dataset import Sample, SegmentationDataset
from fanet.segmentation.data.parallel import parallel_map


class InMemory(SegmentationDataset):
    """All samples of another data set, read once at the start."""

    def __init__(
        self, dataset: SegmentationDataset, title: str = "reading samples", workers: int | None = None
    ) -> None:
        """
        Args:
            dataset: The data set to read; it must be picklable.
            title: Title of the progress bar.
            workers: Number of processes; by default one per core, and 1 reads in this process.

        Raises:
            UserError: A sample cannot be read.
        """
        self.classes, self.names, self.channels = dataset.classes, dataset.names, dataset.channels
        self.missing_masks, self.missing_images = dataset.missing_masks, dataset.missing_images
        with parallel_map(dataset.__getitem__, len(dataset), title, "sample", workers) as samples:
            self.samples: list[Sample] = list(samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def load_image(self, index: int) -> np.ndarray:
        return self.samples[index].image

    def load_labels(self, index: int) -> np.ndarray:
        labels = self.samples[index].labels
        assert labels is not None, "data sets have labels"
        return labels
