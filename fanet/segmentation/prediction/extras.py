"""What a prediction gives beside label maps and overlays."""

import math
from dataclasses import dataclass

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.segmentation.prediction.predictor import Predictor

#: Forms in which label tools take annotations.
FORMATS = ("coco", "yolo", "labelme")
#: Regions of fewer pixels are no objects.
MIN_AREA = 64


@dataclass(frozen=True)
class Extras:
    """Which results are written beside label maps and overlays.

    Attributes:
        objects: A table of the objects of each image or video, and one of those of all images.
        probabilities: The probability of every class at every pixel, of each image.
        shares: The share of every class in each frame of a video, as a table and a plot.
        annotations: Objects of images as annotations, in these of `FORMATS`, each once.
        min_area: Smaller regions are left out of objects and annotations, in pixels.
        tolerance: Distance in pixels by which outlines may differ from the edges of pixels to have fewer corners.

    Raises:
        UserError: A format is unknown, a number is out of range, or a package that is needed is not installed.
    """

    objects: bool = False
    probabilities: bool = False
    shares: bool = False
    annotations: tuple[str, ...] = ()
    min_area: int = MIN_AREA
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotations", tuple(dict.fromkeys(self.annotations)))
        if unknown := [name for name in self.annotations if name not in FORMATS]:
            raise UserError(f"unknown format of annotations: {unknown[0]}; known are {', '.join(FORMATS)}")
        if self.min_area < 1:
            raise UserError(f"the smallest area of an object must be at least 1 pixel, got {self.min_area}")
        if not 0 <= self.tolerance < math.inf:
            raise UserError(f"the tolerance of outlines must be 0 pixels or more, got {self.tolerance}")
        # now, and not after the first image has been predicted
        with needs_extra("seg", "cv2", "matplotlib"):
            if self.needs_objects:
                import cv2  # noqa: F401
            if self.shares:
                import matplotlib  # noqa: F401

    @property
    def needs_objects(self) -> bool:
        """Whether objects are looked for."""
        return self.objects or bool(self.annotations)


@dataclass(frozen=True)
class Outcome:
    """What is predicted for one image.

    Attributes:
        labels: (H, W) uint8.
        confidence: Probability of each pixel's class, (H, W) float32, if it is needed.
        probabilities: (num_classes, H, W) float32, if they are needed.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None
    probabilities: np.ndarray | None = None


def predict_outcome(predictor: Predictor, image: np.ndarray, extras: Extras, name: str) -> Outcome:
    """Predict what the results need, in one run of the network.

    Args:
        predictor: Gives the labels of an image.
        image: (H, W, C) uint8.
        extras: What the results need.
        name: What warnings call the image.

    Raises:
        UserError: The network takes no images of this size.
    """
    if extras.probabilities:
        labels, probabilities = predictor.labels_and_probabilities(image, name)
        known = np.minimum(labels, len(probabilities) - 1)  # below thresholds labels are no class
        return Outcome(labels, np.take_along_axis(probabilities, known[None].astype(np.intp), 0)[0], probabilities)
    if extras.needs_objects:
        return Outcome(*predictor.labels_and_confidence(image, name))
    return Outcome(predictor.labels(image, name))
