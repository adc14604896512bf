"""Images with their truth, a prediction and its errors; and which images of a split to show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fanet.classes import ClassScheme
from fanet.segmentation.data.dataset import Sample, SegmentationDataset
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.evaluation.report.images import error_figure, figure, label_figure
from fanet.segmentation.evaluation.report.page import Html, markup, row
from fanet.segmentation.evaluation.report.scores import percent
from fanet.segmentation.prediction.predictor import Predictor

_SHOWN = 6
_MOST_SCORES = 8  # classes of an image whose IoU is named


@dataclass(frozen=True)
class Example:
    """A labelled image and a prediction of it, (H, W) uint8."""

    sample: Sample
    prediction: np.ndarray

    @classmethod
    def predicted(cls, predictor: Predictor, dataset: SegmentationDataset, index: int) -> "Example":
        """Read sample `index` of a data set and predict its labels."""
        sample = dataset[index]
        return cls(sample, predictor.labels(sample.image))

    def show(self, classes: ClassScheme, note: str = "") -> Html:
        """Return image, truth, prediction and errors side by side with their scores.

        Args:
            classes: What the labels mean.
            note: Further scores, ahead of the others.
        """
        sample, labels, name = self.sample, self.sample.labels, self.sample.name
        assert labels is not None, "what was evaluated has labels"
        figures = [
            figure(sample.image, "image", name),
            label_figure(labels, classes, "truth", f"True classes of {name}"),
            label_figure(self.prediction, classes, "prediction", f"Predicted classes of {name}"),
            error_figure(
                labels, self.prediction, classes.ignore_index, "wrong in red", f"Pixels of {name} that are wrong"
            ),
        ]
        scores = ", ".join(filter(None, [note, self._scores(labels, classes)]))
        return Html(
            f'<article class="example">\n<h4>{markup(name)}</h4>\n<p class="faint">{markup(scores)}</p>\n'
            f"{row(figures)}\n</article>"
        )

    def _scores(self, labels: np.ndarray, classes: ClassScheme) -> str:
        confusion = ConfusionMatrix(len(classes), classes.ignore_index)
        confusion.update(self.prediction, labels)
        iou = {name: 100 * value for name, value in zip(classes.names, confusion.iou(), strict=True) if value >= 0}
        shown = ", ".join(f"{name} {percent(value)}" for name, value in list(iou.items())[:_MOST_SCORES])
        more = f" and {len(iou) - _MOST_SCORES} more" if len(iou) > _MOST_SCORES else ""
        return (
            f"mIoU {percent(100 * confusion.miou)} %, pixel accuracy {percent(100 * confusion.pixel_accuracy)} %; "
            f"IoU: {shown}{more}"
        )


def own_miou(margins: np.ndarray) -> np.ndarray:
    """Return the mIoU of every image by itself, over the classes that occur in its truth or prediction.

    Args:
        margins: Those of `ImageCounts`, (N, 3, num_classes).

    Returns:
        (N,) in 0..1, nan for an image without labelled pixels.
    """
    hit, truth, predicted = (margins[:, part] for part in range(3))
    union = truth + predicted - hit
    occurs = union > 0
    iou = np.divide(hit, union, out=np.zeros(union.shape), where=occurs)
    count = occurs.sum(axis=1)
    return np.divide(iou.sum(axis=1), count, out=np.full(len(margins), np.nan), where=count > 0)


def worst_and_best(margins: np.ndarray, shown: int = _SHOWN) -> tuple[list[int], list[int]]:
    """Return the images with the lowest mIoU of their own, worst first, and those with the highest, best first.

    No image is in both; of an odd number of images, few, the one in the middle is among the worst.
    """
    scores = own_miou(margins)
    order: Sequence[int] = [int(index) for index in np.argsort(scores, kind="stable") if not np.isnan(scores[index])]
    worst = min(shown, (len(order) + 1) // 2)
    best = min(shown, len(order) - worst)
    return list(order[:worst]), list(order[::-1][:best])
