"""Find the thresholds of a model that keep a promise, and check them on other images."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.evaluate import check_classes
from fanet.segmentation.evaluation.purity.counts import Counts, count_images
from fanet.segmentation.evaluation.purity.promise import (
    LEVELS,
    Found,
    find_thresholds,
    purity_within_reach,
    units_needed,
)
from fanet.segmentation.prediction.likeness import ranges_of
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.thresholds import PurityThresholds

CONFIDENCE = 0.95
#: Fewer units cannot promise anything.
FEWEST = 8


@dataclass(frozen=True)
class ClassPurity:
    """How a class does on some images; units weigh the same.

    Attributes:
        name: The class.
        threshold: Its threshold; None if it is never called.
        before: Purity without the threshold; None if the class is not called at all.
        after: Purity above it; None if nothing is.
        coverage: Share of what is called the class without the threshold that still is, 0..1.
    """

    name: str
    threshold: float | None
    before: float | None
    after: float | None
    coverage: float


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` found.

    Attributes:
        thresholds: To be stored with the model.
        classes: How each class does on the calibration images, from which it was found.
        notes: A line for each class that cannot be promised.
    """

    thresholds: PurityThresholds
    classes: Sequence[ClassPurity]
    notes: Sequence[str]


def calibrate(
    predictor: Predictor,
    dataset: SegmentationDataset,
    purity: float,
    confidence: float = CONFIDENCE,
    groups: Sequence[Hashable] | None = None,
    workers: int = 2,
) -> Calibration:
    """Find thresholds on labelled images that training has not seen; see `promise` for the statistics.

    With `confidence` over the draw of the images, at least the share `purity` of what is called a class is it, for all
    classes together. Each image, or recording, weighs the same, whatever its size.

    Args:
        predictor: The model. Thresholds that it has do not count.
        dataset: The images, drawn independently from those that the promise is about.
        purity: Above 0 and below 1.
        confidence: Above 0 and below 1.
        groups: The recording of each image, if images of one are not independent; recordings then are what is drawn.
        workers: Number of threads that read images ahead.

    Raises:
        UserError: Model and data set differ in their classes, there are too few images or recordings, a sample cannot
            be read or has no labels, or a number is not between 0 and 1.
    """
    for name, value in (("purity", purity), ("confidence", confidence)):
        if not 0 < value < 1:
            raise UserError(f"the {name} must be above 0 and below 1, such as 0.95, got {value:g}")
    unit = "image" if groups is None else "recording"
    count = len(dataset) if groups is None else len(set(groups))
    if count < FEWEST:
        raise UserError(
            f"{counted(count, unit)} cannot promise anything: label at least {FEWEST}, better some hundreds"
        )
    _check(predictor, dataset)
    images = count_images(replace(predictor, thresholds=None), dataset, workers)
    if not images.called.any():
        raise UserError("no pixel of these images is labelled: a promise needs the truth")
    units = images if groups is None else images.by_group(groups)
    found = find_thresholds(units.called, units.right, units.shares, purity, confidence)
    thresholds = PurityThresholds(
        purity,
        confidence,
        tuple(None if each.level is None else float(LEVELS[each.level]) for each in found),
        tuple(each.largest for each in found),
        ranges_of(images.statistics),
        predictor.window,
        {"images": len(dataset), "units": count, "unit": unit},
    )
    alpha = (1 - confidence) / len(found)
    names = dataset.classes.names
    notes = [
        f"{names[index]} cannot be promised: {_cure(units, index, each, purity, alpha, unit)}"
        for index, each in enumerate(found)
        if each.level is None
    ]
    return Calibration(thresholds, class_purities(units, thresholds, names), notes)


def check(
    predictor: Predictor,
    dataset: SegmentationDataset,
    groups: Sequence[Hashable] | None = None,
    workers: int = 2,
) -> list[ClassPurity]:
    """Return how pure the classes of a model with thresholds are on other images; arguments as for `calibrate`.

    Raises:
        UserError: The model has no thresholds, or as for `calibrate`.
    """
    if predictor.thresholds is None:
        raise UserError("the model has no thresholds to check: find them first, by `fanet calibrate` without --check")
    _check(predictor, dataset)
    images = count_images(replace(predictor, thresholds=None), dataset, workers)
    units = images if groups is None else images.by_group(groups)
    return class_purities(units, predictor.thresholds, dataset.classes.names)


def class_purities(units: Counts, thresholds: PurityThresholds, names: Sequence[str]) -> list[ClassPurity]:
    """Return how each class does with thresholds that are among `LEVELS`."""
    called, right = (values.sum(axis=0, dtype=np.float64) for values in (units.called, units.right))
    rows = []
    for index, (name, least) in enumerate(zip(names, thresholds.least, strict=True)):
        level = None if least is None else int(np.searchsorted(LEVELS, np.float32(least)))
        all_, kept = called[index, 0], 0.0 if level is None else called[index, level]
        before = None if all_ == 0 else float(right[index, 0] / all_)
        after = None if level is None or kept == 0 else float(right[index, level] / kept)
        rows.append(ClassPurity(name, least, before, after, float(kept / all_) if all_ else 0.0))
    return rows


def _check(predictor: Predictor, dataset: SegmentationDataset) -> None:
    check_classes(predictor.classes, dataset.classes)
    if predictor.classes.ignore_index < len(predictor.classes):
        raise UserError(
            f"the model's ignore_index is {predictor.classes.ignore_index}, which is also a class: "
            f"set it to 255 in its config.json"
        )


def _cure(units: Counts, index: int, found: Found, purity: float, alpha: float, unit: str) -> str:
    """Return what would help a class that cannot be promised."""
    called, right, share = units.called[:, index], units.right[:, index], units.shares[:, index]
    if not share.any():
        return f"the model calls no pixel of these {unit}s so"
    reach = purity_within_reach(called, right, share, purity, alpha)
    needed = units_needed(found, alpha)
    lower = f"these {len(share)} could promise {reach:g}" if reach is not None else ""
    if needed is None:
        more = f"even its surest pixels are not pure enough, so more {unit}s hardly help"
    else:
        more = f"about {max(needed, len(share) + 1)} {unit}s might be enough"
    return "; ".join(filter(None, [more, lower]))
