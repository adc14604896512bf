"""The demonstration: the model inside the package segments the scene inside the package."""

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

# Each of the three pictures is enlarged to about this width before the classes are drawn, so outlines stay thin.
_PICTURE_WIDTH = 512
# Strong enough to read the class off an object whose own colour is strong, too.
_TINT = 0.6


def run_demo(output: str | Path) -> dict:
    """Segments the scene and writes `demo.png`: the image, the truth, the prediction and their legend.

    Args:
        output: the folder for the picture; made where missing.

    Returns:
        The scores as of `ConfusionMatrix.to_dict`, in %, with `seconds` (wall time of the prediction alone) and
        `picture` (the path of the written file).

    Raises:
        UserError: the folder cannot be made or written to.
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
    picture = folder / "demo.png"
    write_png(picture, _comparison(image, truth, prediction, model.classes, scores))
    return {**scores, "seconds": seconds, "picture": picture}


def percent(value: float | None) -> str:
    """A score in % for people to read; `None` is a score that does not exist."""
    return "-" if value is None else f"{value:.1f} %"


def _comparison(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, classes: ClassScheme, scores: dict
) -> np.ndarray:
    """(H, W, 3) and twice (H, W) -> the RGB picture of all three side by side."""
    height, width = truth.shape
    factor = max(1, _PICTURE_WIDTH // width)
    # the photograph is interpolated, labels have nothing between them
    large = np.array(Image.fromarray(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC))
    drawn = [overlay(large, enlarge(labels, factor), classes, _TINT) for labels in (truth, prediction)]
    return panel(
        [("Image", large), ("Truth", drawn[0]), ("Prediction", drawn[1])],
        legend_of(classes, [f"IoU {percent(scores['iou'][name])}" for name in classes.names]),
        f"mIoU {percent(scores['miou'])},  pixel accuracy {percent(scores['pixel_accuracy'])}",
    )
