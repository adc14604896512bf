"""Scores of a predictor on labelled images."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.segmentation.data.dataset import Sample, SegmentationDataset
from fanet.segmentation.evaluation.breakdown import BORDER_BANDS, OBJECT_SIZES, build_breakdowns
from fanet.segmentation.evaluation.breakdown.base import Breakdown, Judged
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts, bootstrap_miou, margins_of
from fanet.segmentation.evaluation.per_image import PER_IMAGE_NAME, PerImage
from fanet.segmentation.evaluation.report.split import REPORT_NAME, write_split_report
from fanet.segmentation.network.card import METRICS_NAME
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.processes import join_processes
from fanet.threads import map_ahead

if TYPE_CHECKING:
    from accelerate import Accelerator

PLOT_NAME = "confusion_matrix.png"
_WITHOUT_THRESHOLDS = (
    "the model's thresholds are left out, so every pixel has a class: `fanet calibrate --check` says how pure the "
    "classes are with them"
)


def evaluate_split(
    predictor: Predictor,
    dataset: SegmentationDataset,
    output: str | Path,
    resamples: int = 1000,
    workers: int = 2,
    description: dict[str, Any] | None = None,
    by: Sequence[str] = (),
    object_sizes: Sequence[float] = OBJECT_SIZES,
    border_bands: Sequence[float] = BORDER_BANDS,
) -> dict[str, Any]:
    """Evaluate a predictor and write `metrics.json`, `per_image.npz`, `confusion_matrix.png` and `report.html`.

    Under torchrun every process takes its share of the images; the counts are summed, and the first process writes.

    Args:
        predictor: What is evaluated, without its thresholds. Its classes must be the data set's, by name and in order,
            unless they are only numbered.
        dataset: The split.
        output: The folder for the results, created once there are results.
        resamples: Number of bootstrap resamples, see `bootstrap_miou`; 0 leaves the interval out.
        workers: Number of threads that read images ahead.
        description: Further entries of `metrics.json`, for instance the names of model and data set.
        by: Further scores that explain, as for `build_breakdowns`: of `class`, `size`, `border` and `calibration`.
        object_sizes: Bounds between sizes of objects, as shares of the image's area.
        border_bands: Bounds of the bands around borders, in pixels.

    Returns:
        The contents of `metrics.json`: scores in %, `confusion_matrix` (rows are true classes), `miou_low` and
        `miou_high` (None without an interval), `bootstrap`, `images`, `notes` (a line for whatever was left out, and
        one if there are no scores), `scales`, `flip`, `window` and `overlap` if windows are used, the description, and
        an entry for each breakdown, None if there are no scores.

    Raises:
        UserError: Model and data set differ in their classes, a breakdown is invalid, a sample cannot be read, or the
            folder cannot be made.
    """
    # Imported first: a missing extra should show before the work starts.
    from fanet.segmentation.evaluation.plots import plot_confusion_matrix

    check_classes(predictor.classes, dataset.classes)
    left_out = [] if predictor.thresholds is None else [_WITHOUT_THRESHOLDS]
    predictor = replace(predictor, thresholds=None)
    breakdowns = build_breakdowns(by, dataset.classes, object_sizes, border_bands)
    folder = _writable(output)
    accelerator = join_processes()
    counts = image_counts(predictor, dataset, accelerator, workers, breakdowns)
    confusion = ConfusionMatrix.of(counts.matrix, dataset.classes.ignore_index)
    is_meaningful = len(confusion.labelled) > 1
    interval = bootstrap_miou(counts.margins, resamples) if is_meaningful else None
    windows = {"window": list(predictor.window), "overlap": predictor.overlap} if predictor.window else {}
    result = confusion.to_dict(dataset.classes.names) | {
        "miou_low": None if interval is None else 100 * interval[0],
        "miou_high": None if interval is None else 100 * interval[1],
        "bootstrap": {"unit": "images", "resamples": resamples, "seed": 0, "confidence": 95},
        "images": len(dataset),
        "notes": [
            *left_out,
            *_remarks(dataset, counts),
            *_without_meaning(confusion, dataset.classes),
        ],
        "scales": list(predictor.scales),
        "flip": predictor.flip,
        **windows,
        **(description or {}),
        **{
            key: breakdown.scores(counts.parts[key], resamples) if is_meaningful else None
            for key, breakdown in breakdowns.items()
        },
    }
    if accelerator.is_main_process:
        make_folder(folder)
        plot_confusion_matrix(confusion.matrix, dataset.classes.names, folder / PLOT_NAME)
        with atomic_path(folder / METRICS_NAME) as path:
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        PerImage.of(dataset, counts).save(folder / PER_IMAGE_NAME)
        write_split_report(folder / REPORT_NAME, predictor, dataset, counts, result)
    return result


def image_counts(
    predictor: Predictor,
    dataset: SegmentationDataset,
    accelerator: "Accelerator | None" = None,
    workers: int = 2,
    breakdowns: Mapping[str, Breakdown] | None = None,
) -> ImageCounts:
    """Count the pixels of every image by true class and predicted class.

    Args:
        predictor: What is evaluated.
        dataset: N labelled images.
        accelerator: The processes that share the images; by default this process takes all of them.
        workers: Number of threads that read images ahead.
        breakdowns: What else is counted of every image.

    Raises:
        UserError: A sample cannot be read, has no labels, or has a size that the model's backbone does not take.
    """
    rank, count = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    num_classes, ignore_index = len(dataset.classes), dataset.classes.ignore_index
    total, ignored = ConfusionMatrix(num_classes, ignore_index), 0
    margins = np.zeros((len(dataset), 3, num_classes), dtype=np.int64)
    breakdowns = breakdowns or {}
    parts: dict[str, np.ndarray] = {
        key: np.zeros((len(dataset), *part.shape), dtype=part.dtype) for key, part in breakdowns.items()
    }
    indices = range(rank, len(dataset), count)
    samples = map_ahead(dataset.__getitem__, indices, workers)
    # None: only on a terminal
    bar = tqdm(samples, desc="evaluate", total=len(indices), unit="image", disable=None if rank == 0 else True)
    for index, sample in zip(indices, bar, strict=True):
        if sample.labels is None:
            raise UserError(f"{sample.name} has no labels to compare a prediction with")
        if breakdowns:
            prediction, confidence = predictor.labels_and_confidence(sample.image)
            judged = Judged.of(sample.labels, prediction, confidence, ignore_index)
            for key, breakdown in breakdowns.items():
                parts[key][index] = breakdown.count(judged)
        else:
            prediction = predictor.labels(sample.image)
        confusion = ConfusionMatrix(num_classes, ignore_index)
        confusion.update(prediction, sample.labels)
        total.matrix += confusion.matrix
        ignored += int(np.count_nonzero(sample.labels == ignore_index))
        margins[index] = margins_of(confusion.matrix)
    found = [total.matrix, margins, np.array([ignored]), *parts.values()]
    if accelerator is not None and count > 1:
        # NCCL reduces only tensors in GPU memory
        found = [
            accelerator.reduce(torch.from_numpy(part).to(accelerator.device), "sum").cpu().numpy() for part in found
        ]
    matrix, margins, void, *rest = found
    return ImageCounts(matrix, margins, int(void[0]), dict(zip(parts, rest, strict=True)))


def _remarks(dataset: SegmentationDataset | Sequence[Sample], counts: ImageCounts) -> list[str]:
    """Return a line for whatever was left out of a data set, and for pixels that nobody said are to be ignored."""
    if not isinstance(dataset, SegmentationDataset):  # such as a list of samples
        return []
    found = list(dataset.remarks())
    if counts.ignored and dataset.ignores_by_default:
        share = 100 * counts.ignored / (counts.ignored + int(counts.matrix.sum()))
        found.append(
            f"{share:.2f} % of the pixels are {dataset.classes.ignore_index}, which is ignored: if it is a class, say "
            "so by `values` in dataset.yaml; if not, by `ignore_index`"
        )
    return found


def _without_meaning(confusion: ConfusionMatrix, classes: ClassScheme) -> list[str]:
    """Return the line that says why there are no scores, if that is so."""
    if len(confusion.labelled) > 1:
        return []
    labelled = " and ".join(classes.names[index] for index in confusion.labelled)
    what = f"only {labelled} is labelled in these images" if labelled else "no pixel of these images is labelled"
    return [f"{what}, so that scores would mean nothing: see what `fanet data check` says"]


def check_classes(known: ClassScheme, wanted: ClassScheme) -> None:
    """Check that a model's classes are those of the data set; classes that are only numbered match any names.

    Raises:
        UserError: They are not.
    """
    if len(known) != len(wanted):
        raise UserError(
            f"the model knows {len(known)} classes, the data set has {len(wanted)}: "
            "choose a model that was trained for it"
        )
    if known.names == ClassScheme.numbered(len(known)).names:
        return
    for index, (name, other) in enumerate(zip(known.names, wanted.names, strict=True)):
        if name != other:
            raise UserError(
                f"class {index} is {name!r} to the model and {other!r} in the data set: "
                "choose a model that was trained for it, or correct the names in its config.json"
            )


def _writable(folder: str | Path) -> Path:
    """Return the folder if it can be made or written to, without making it yet.

    Raises:
        UserError: It cannot be made or written to.
    """
    folder = Path(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"cannot make the folder {folder}: the file {existing} is in the way")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"no permission to write in {existing}: choose another folder")
    return folder
