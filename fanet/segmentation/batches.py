"""Prediction over batches of arrays, as Ray Data and other engines pass them to their workers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError
from fanet.media.png import encode_png
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.windows import OVERLAP, check_window
from fanet.segmentation.processes import find_device


class BatchPredictor:
    """A callable that adds label maps to a batch of images; pass the class itself to `ray.data.Dataset.map_batches`.

    {"image": N images, …} -> the same with "labels". Images are an (N, H, W, 3) uint8 array, or an object array of N
    images of different sizes; labels are (N, H, W) uint8, or an object array of N label maps of different sizes, or of
    N PNG files as bytes. Each image is predicted by itself, so the labels do not depend on the batching.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        window: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        image_column: str = "image",
        labels_column: str = "labels",
        device: str | None = None,
        png: bool = False,
        engine: str | None = None,
        precision: str | None = None,
    ) -> None:
        """
        Args:
            model: Folder, checkpoint file, ONNX file or Hub id; None for `clutter`.
            window: Height and width of a sliding window, as in `UperNet.predict`.
            overlap: Minimum overlap of neighbouring windows, 0..0.9 of their side.
            image_column: Key of the images.
            labels_column: Key of the labels.
            device: `cpu`, `cuda`, `cuda:1`, `mps`, …; by default a GPU if the process has one.
            png: Whether labels are PNG files, whose pixels are class indices, instead of arrays. They take less room,
                and columns of them fit into one table, while arrays of different sizes are of different types there.
            engine: What runs the network, as in `SegmentationModel.predictor`.
            precision: `fp32` or `bf16`, as there.

        Raises:
            UserError: There is no such model or device, or the window is invalid.
        """
        if window is not None:
            check_window(window, overlap)
        torch_device = find_device(device)  # both are checked before the model is loaded
        self.predictor = load_predictor(model, torch_device, window, overlap, engine=engine, precision=precision)
        self.image_column = image_column
        self.labels_column = labels_column
        self.png = png

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Predict a batch.

        Raises:
            UserError: The batch lacks the image column, or holds something that is not an image.
        """
        if self.image_column not in batch:
            raise UserError(f"the batch has no {self.image_column!r}, only {', '.join(map(repr, batch))}")
        labels = [self.predictor.labels(np.asarray(image)) for image in batch[self.image_column]]
        if self.png:
            files = [encode_png(map_, self.predictor.classes.palette) for map_ in labels]
            return {**batch, self.labels_column: _column(files)}
        is_uniform = len({map_.shape for map_ in labels}) == 1
        return {**batch, self.labels_column: np.stack(labels) if is_uniform else _column(labels)}


def _column(values: list) -> np.ndarray:
    """(N,) of any objects"""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
