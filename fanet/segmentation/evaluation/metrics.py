"""The confusion matrix of a whole data set, and the scores computed from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from fanet.classes import background_of
from fanet.segmentation.evaluation.bootstrap import interval


class ConfusionMatrix:
    """Counts, over all images together, of pixels by true class and predicted class.

    `matrix` has shape (num_classes, num_classes) and dtype int64; rows are true classes, columns predictions. With
    `row = matrix.sum(axis=1)`, `column = matrix.sum(axis=0)` and `hit = matrix.diagonal()` the scores are

    - IoU of a class: `hit / (row + column - hit)`;
    - accuracy of a class: `hit / row`;
    - pixel accuracy: `hit.sum() / matrix.sum()`.

    A class that occurs neither in the ground truth nor in the prediction has no IoU (nan) and is left out of the mean;
    one that is predicted but never true has IoU 0, which counts in the mean, but no accuracy. Pixels labelled
    `ignore_index` never count, whatever was predicted there. A score with nothing to average is nan.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.matrix = np.zeros((num_classes, num_classes), dtype=np.int64)

    @classmethod
    def of(cls, matrix: np.ndarray, ignore_index: int = 255) -> "ConfusionMatrix":
        """Build it from counts (num_classes, num_classes), rows are true classes."""
        confusion = cls(len(matrix), ignore_index)
        confusion.matrix += matrix
        return confusion

    def update(self, prediction: np.ndarray | torch.Tensor, target: np.ndarray | torch.Tensor) -> None:
        """Add the pixels of one or more images.

        Args:
            prediction: Class indices, integers of any shape.
            target: True class indices or `ignore_index`, of the same shape.

        Raises:
            ValueError: The shapes differ, the values are not integers, or a class index is out of range.
        """
        prediction, target = _as_array(prediction, "prediction"), _as_array(target, "target")
        if prediction.shape != target.shape:
            raise ValueError(f"prediction and target differ in shape: {prediction.shape} and {target.shape}")
        counted = target != self.ignore_index
        prediction, target = prediction[counted].astype(np.int64), target[counted].astype(np.int64)
        for name, values in (("prediction", prediction), ("target", target)):
            if values.size and not 0 <= values.min() <= values.max() < self.num_classes:
                raise ValueError(
                    f"{name} has values from {values.min()} to {values.max()}: expected 0 to {self.num_classes - 1}"
                    f", or {self.ignore_index} in the target for pixels to ignore"
                )
        pairs = np.bincount(target * self.num_classes + prediction, minlength=self.num_classes**2)
        self.matrix += pairs.reshape(self.matrix.shape)

    def iou(self) -> np.ndarray:
        """Return the intersection over union of every class: (num_classes,) in 0..1, nan for a class never seen."""
        hit = self.matrix.diagonal()
        return _ratio(hit, self.matrix.sum(axis=1) + self.matrix.sum(axis=0) - hit)

    def accuracy(self) -> np.ndarray:
        """Return the share of each class's true pixels that was found: (num_classes,) in 0..1, nan if it has none."""
        return _ratio(self.matrix.diagonal(), self.matrix.sum(axis=1))

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that occur, in 0..1."""
        return _mean(self.iou())

    def miou_without(self, background: int | None) -> float:
        """Return the mean IoU of the classes that occur, without the background, in 0..1; nan if no class is that."""
        return float("nan") if background is None else _mean(np.delete(self.iou(), background))

    @property
    def labelled(self) -> list[int]:
        """The classes that occur in the ground truth. With fewer than two of them no score means anything."""
        return [int(index) for index in np.flatnonzero(self.matrix.sum(axis=1))]

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy of the classes that occur in the ground truth, in 0..1."""
        return _mean(self.accuracy())

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels whose class was predicted correctly, in 0..1."""
        return float(_ratio(np.trace(self.matrix), self.matrix.sum()))

    def to_dict(self, names: Sequence[str]) -> dict:
        """Return the scores in %, ready for JSON: None for a score that does not exist.

        Where fewer than two classes are labelled no score exists: predicting nothing else would give 100 %.
        `miou_no_background` leaves out the class whose name says that it is the background.

        Args:
            names: Class names, in the order of their indices.

        Raises:
            ValueError: There is not one name for each class.
        """
        if len(names) != self.num_classes:
            raise ValueError(f"{len(names)} names for {self.num_classes} classes")
        scores = {
            "miou": self.miou,
            "miou_no_background": self.miou_without(background_of(names)),
            "pixel_accuracy": self.pixel_accuracy,
            "mean_accuracy": self.mean_accuracy,
        }
        is_meaningful = len(self.labelled) > 1
        return {
            **{key: _percent(value) if is_meaningful else None for key, value in scores.items()},
            "iou": {
                name: _percent(value) if is_meaningful else None for name, value in zip(names, self.iou(), strict=True)
            },
            "confusion_matrix": self.matrix.tolist(),
        }


@dataclass(frozen=True)
class ImageCounts:
    """Counts of pixels over N images: all that scores and their intervals need.

    Attributes:
        matrix: The confusion matrix of all images together, (num_classes, num_classes) int64, rows are true classes.
        margins: Of the confusion matrix of each image the diagonal, the sums of its rows and those of its columns,
            (N, 3, num_classes) int64. The whole matrices of many images with many classes would not fit into memory.
        ignored: Number of pixels with the ignored label.
        parts: What breakdowns count of each image, (N, …), by the key of their scores in `metrics.json`.
    """

    matrix: np.ndarray
    margins: np.ndarray
    ignored: int = 0
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, matrices: np.ndarray) -> "ImageCounts":
        """Count from the confusion matrix of every image, (N, num_classes, num_classes), rows are true classes."""
        return cls(matrices.sum(axis=0), margins_of(matrices))


def margins_of(matrices: np.ndarray) -> np.ndarray:
    """(…, C, C) -> (…, 3, C): diagonal, sums of the rows, sums of the columns"""
    return np.stack((matrices.diagonal(axis1=-2, axis2=-1), matrices.sum(axis=-1), matrices.sum(axis=-2)), axis=-2)


def scores_of(margins: np.ndarray) -> np.ndarray:
    """Return the IoU of every class and their mean over those that occur: (…, 3, C) -> (…, C + 1) in 0..1 or nan.

    Args:
        margins: Diagonal, sums of the rows and sums of the columns of confusion matrices, as in `ImageCounts`.
    """
    hit, truth, predicted = np.moveaxis(np.asarray(margins), -2, 0)
    iou = _ratio(hit, truth + predicted - hit)
    known = ~np.isnan(iou)
    mean = _ratio(np.where(known, iou, 0).sum(axis=-1), known.sum(axis=-1))
    return np.concatenate((iou, mean[..., None]), axis=-1)


def bootstrap_miou(margins: np.ndarray, resamples: int = 1000, seed: int = 0) -> tuple[float, float] | None:
    """Compute a 95 % interval of the mIoU by the bootstrap over images, see `interval`.

    Args:
        margins: Those of `ImageCounts`, (N, 3, num_classes).
        resamples: Number of resamples.
        seed: Seed of the draws.

    Returns:
        Lower and upper end in 0..1, or None for fewer than two images, no resamples or an undefined mIoU.
    """
    ends = interval(margins, lambda sums: scores_of(sums)[:, -1:], resamples, seed)
    if ends is None or np.isnan(ends).any():
        return None
    return float(ends[0, 0]), float(ends[1, 0])


def _as_array(values: np.ndarray | torch.Tensor, name: str) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} holds {array.dtype} values: expected integer class indices")
    return array


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.true_divide(part, whole)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else 100 * float(value)
