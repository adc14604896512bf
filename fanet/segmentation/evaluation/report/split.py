"""What a page says about a model on a split: scores, confusion, images; and the whole page of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fanet.classes import ClassScheme
from fanet.errors import counted
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts
from fanet.segmentation.evaluation.report.breakdown import breakdown_sections
from fanet.segmentation.evaluation.report.examples import Example, worst_and_best
from fanet.segmentation.evaluation.report.images import legend
from fanet.segmentation.evaluation.report.labels import LabelCounts, label_table
from fanet.segmentation.evaluation.report.page import Html, heading, paragraph, section, table, write_page
from fanet.segmentation.evaluation.report.scores import class_table, confusion_table, percent
from fanet.segmentation.prediction.predictor import Predictor

#: The name of the page in the folder of a run or of an evaluation.
REPORT_NAME = "report.html"

# Of `metrics.json`, in the summary.
_SCORES = {
    "miou": "mIoU",
    "miou_low": "mIoU, lower end of the 95 % interval",
    "miou_high": "mIoU, upper end",
    "miou_no_background": "mIoU without background",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
}


def score_sections(
    counts: ImageCounts, classes: ClassScheme, earlier: Mapping[str, Sequence[float | None]] | None = None
) -> list[Html]:
    """Return the sections with the scores by class and the confusion matrix.

    Args:
        counts: Those of the evaluation.
        classes: What the labels mean.
        earlier: Scores of other evaluations, by what they are.
    """
    confusion = ConfusionMatrix.of(counts.matrix, classes.ignore_index)
    columns = {"IoU": list(100 * confusion.iou()), **(earlier or {}), "accuracy": list(100 * confusion.accuracy())}
    return [
        section("Scores by class", class_table(classes, columns)),
        section("Confusion", confusion_table(counts.matrix, classes)),
    ]


def example_section(
    predictor: Predictor, dataset: SegmentationDataset, counts: ImageCounts, classes: ClassScheme
) -> Html:
    """Predict the images with the lowest and the highest mIoU again, and return the section that shows them.

    Raises:
        UserError: One of them cannot be read.
    """
    worst, best = worst_and_best(counts.margins)
    parts: list[Html] = [
        paragraph("By the mIoU of each image alone, over the classes that occur in it."),
        legend(classes),
    ]
    for title, indices in (("Worst", worst), ("Best", best)):
        if indices:
            parts.append(heading(title))
            parts += [Example.predicted(predictor, dataset, index).show(classes) for index in indices]
    return section("Images", *parts)


def write_split_report(
    path: Path, predictor: Predictor, dataset: SegmentationDataset, counts: ImageCounts, result: Mapping[str, Any]
) -> None:
    """Write the page of an evaluation.

    Args:
        path: The file.
        predictor: What was evaluated.
        dataset: What it was evaluated on.
        counts: Those of the evaluation.
        result: The contents of `metrics.json`.

    Raises:
        UserError: An image cannot be read, or the file cannot be written.
    """
    classes = dataset.classes
    facts = ("model", "dataset", "data", "split", "images", "engine", "precision", "scales", "flip", "window")
    given: list[list[object]] = [[name, result[name]] for name in facts if result.get(name) is not None]
    scores = [[title, percent(result[name])] for name, title in _SCORES.items() if result.get(name) is not None]
    split = str(result.get("split", "this split"))
    sections = [
        section("Summary", table("Scores, %", ["score", "value"], scores), *map(paragraph, result["notes"])),
        *score_sections(counts, classes),
        *breakdown_sections(result, classes),
        example_section(predictor, dataset, counts, classes),
        section("Labels", label_table({split: LabelCounts.of_images(counts)}, classes)),
        section("What was evaluated", table("Settings", ["setting", "value"], given)),
    ]
    miou = f"mIoU {percent(result['miou'])} % on {counted(result['images'], 'image')}"
    write_page(path, f"Evaluation of {result.get('model', 'a model')}", f"{miou} of {split}.", sections)
