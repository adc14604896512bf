"""Prediction over batches of arrays, as Ray Data and other engines hand them to their workers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError
from fanet.segmentation.network.shipped import load_model
from fanet.segmentation.prediction.windows import OVERLAP, check_window
from fanet.segmentation.processes import find_device


class BatchPredictor:
    """A callable that adds label maps to a batch of pictures; `ray.data.Dataset.map_batches` takes the class as it is.

    {"image": N pictures, …} -> the same with "labels". Pictures are an (N, H, W, 3) uint8 array, or N of different
    sizes in an object array; the labels are (N, H, W) uint8, or N of different sizes in an object array. Each picture
    is predicted by itself, so that the labels do not depend on how pictures are batched.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        window: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        image_column: str = "image",
        labels_column: str = "labels",
        device: str | None = None,
    ) -> None:
        """
        Args:
            model: Folder, checkpoint file or Hub id; the trained model inside the package for None.
            window: Height and width of a sliding window, as in `UperNet.predict`.
            overlap: Of neighbouring windows, 0..0.9.
            image_column: Key of the pictures.
            labels_column: Key of the labels.
            device: `cpu`, `cuda`, `cuda:1`, `mps`, …; by default a GPU where the process has one.

        Raises:
            UserError: there is no such model or device, or the window makes no sense.
        """
        if window is not None:
            check_window(window, overlap)
        place = find_device(device)  # both are checked before the model is loaded
        self.predictor = load_model(model).to(place).predictor(window, overlap)
        self.image_column = image_column
        self.labels_column = labels_column

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Predicts a batch.

        Raises:
            UserError: it has no pictures under their key, or one of them is no picture.
        """
        if self.image_column not in batch:
            raise UserError(f"the batch has no {self.image_column!r}, only {', '.join(map(repr, batch))}")
        labels = [self.predictor.labels(np.asarray(image)) for image in batch[self.image_column]]
        return {**batch, self.labels_column: _stacked(labels)}


def _stacked(labels: list[np.ndarray]) -> np.ndarray:
    """One array (N, H, W), or where sizes differ an object array (N,)."""
    if len({map_.shape for map_ in labels}) == 1:
        return np.stack(labels)
    stacked = np.empty(len(labels), dtype=object)
    stacked[:] = labels
    return stacked
