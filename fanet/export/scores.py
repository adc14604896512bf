"""What fewer bits cost: the scores of two models on the same images."""

from collections.abc import Callable, Sequence

import numpy as np

from fanet.errors import UserError
from fanet.segmentation.data import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ConfusionMatrix


def compare_scores(
    predictors: Sequence[Callable[[np.ndarray], np.ndarray]], dataset: SegmentationDataset, indices: Sequence[int]
) -> list[float]:
    """Return the mIoU (%) of each model on some images of a data set.

    Args:
        predictors: Images (H, W, C) uint8 -> labels (H, W).
        dataset: Images with labels.
        indices: Which of them.

    Raises:
        UserError: A sample cannot be read or has no labels, or fewer than two classes are labelled.
    """
    counts = [ConfusionMatrix(len(dataset.classes), dataset.classes.ignore_index) for _ in predictors]
    for index in indices:
        sample = dataset[index]
        if sample.labels is None:
            raise UserError(f"{sample.name} has no labels to compare a prediction with")
        for count, predictor in zip(counts, predictors, strict=True):
            count.update(predictor(sample.image), sample.labels)
    scores = [count.to_dict(dataset.classes.names)["miou"] for count in counts]
    if None in scores:
        raise UserError("fewer than two classes are labelled in the images to compare with: choose another split")
    return scores
