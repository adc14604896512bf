"""The demonstration: the shipped model segments the shipped scene."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from fanet.classes import ClassScheme
from fanet.files import make_folder
from fanet.media.drawing import enlarge, legend_of, overlay, panel
from fanet.media.images import read_image, read_labels, write_png
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.network.shipped import DEFAULT, FOLDER, load_model

# Each of the three images is enlarged to about this width before the classes are drawn, so outlines stay thin.
_IMAGE_WIDTH = 512
# Strong enough to recognise the class even on an object of a strong colour.
_TINT = 0.6


def run_demo(output: str | Path) -> dict:
    """Segment the scene and write `demo.png`: the image, the truth, the prediction and their legend.

    Args:
        output: Folder for the image; created if missing.

    Returns:
        The scores of `ConfusionMatrix.to_dict`, in %, with `seconds` (wall time of the prediction alone) and
        `picture` (the path of the written file).

    Raises:
        UserError: The folder cannot be created or written to.
    """
    folder = make_folder(output)
    image = read_image(FOLDER / DEFAULT / "scene.png")
    truth = read_labels(FOLDER / DEFAULT / "scene_labels.png")
    model = load_model(DEFAULT)

    start = time.perf_counter()
    prediction = model.predict(image)
    seconds = time.perf_counter() - start

    confusion = ConfusionMatrix(len(model.classes), model.classes.ignore_index)
    confusion.update(prediction, truth)
    scores = confusion.to_dict(model.classes.names)
    path = folder / "demo.png"
    write_png(path, _comparison(image, truth, prediction, model.classes, scores))
    return {**scores, "seconds": seconds, "picture": path}


def percent(value: float | None) -> str:
    """Format a score in % for printing; `None` is a score that does not exist."""
    return "-" if value is None else f"{value:.1f} %"


def _comparison(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, classes: ClassScheme, scores: dict
) -> np.ndarray:
    """Draw image (H, W, 3), truth (H, W) and prediction (H, W) side by side."""
    height, width = truth.shape
    factor = max(1, _IMAGE_WIDTH // width)
    # only the image can be interpolated, labels cannot
    large = np.array(Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC))
    overlays = [overlay(large, enlarge(labels, factor), classes, _TINT) for labels in (truth, prediction)]
    return panel(
        [("Image", large), ("Truth", overlays[0]), ("Prediction", overlays[1])],
        legend_of(classes, [f"IoU {percent(scores['iou'][name])}" for name in classes.names]),
        f"mIoU {percent(scores['miou'])},  pixel accuracy {percent(scores['pixel_accuracy'])}",
    )
