"""How the labels of a split are distributed: pixels and images of each class."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ImageCounts
from fanet.segmentation.evaluation.report.images import swatch
from fanet.segmentation.evaluation.report.page import Html, joined, paragraph, table

# Masks that are read to describe a split, evenly spread, and the seconds that may take.
_MOST, _SECONDS = 300, 5.0


@dataclass(frozen=True)
class LabelCounts:
    """Counts over the masks of a split.

    Attributes:
        pixels: Pixels of each class, (num_classes,).
        images: Images with each class, (num_classes,).
        ignored: Ignored pixels.
        read: Number of masks that were counted.
        total: Number of masks of the split.
    """

    pixels: np.ndarray
    images: np.ndarray
    ignored: int
    read: int
    total: int

    @classmethod
    def of_images(cls, counts: ImageCounts) -> "LabelCounts":
        """Count from an evaluation, which has read every mask."""
        truth = counts.margins[:, 1]
        return cls(truth.sum(axis=0), (truth > 0).sum(axis=0), counts.ignored, len(truth), len(truth))

    @classmethod
    def sampled(cls, dataset: SegmentationDataset) -> "LabelCounts":
        """Count the masks of a split, or some of them if there are many or reading takes long."""
        classes, total = dataset.classes, len(dataset)
        pixels, images, ignored, read = np.zeros(len(classes), int), np.zeros(len(classes), int), 0, 0
        end = time.monotonic() + _SECONDS
        places = sorted({round(place) for place in np.linspace(0, total - 1, min(_MOST, total))})
        for index in np.random.default_rng(0).permutation(places):  # so that those read in time are spread, too
            if read and time.monotonic() > end:
                break
            try:
                labels = dataset.load_labels(int(index))
            except UserError:  # reported by whoever needs the sample
                continue
            found = np.bincount(labels.ravel(), minlength=256)
            ignored += int(found[classes.ignore_index])
            found[classes.ignore_index] = 0
            pixels += found[: len(classes)]
            images += found[: len(classes)] > 0
            read += 1
        return cls(pixels, images, ignored, read, total)


def label_table(splits: Mapping[str, LabelCounts], classes: ClassScheme) -> Html:
    """Return for each class its share of the labelled pixels of each split, and in how many images it is."""
    head = ["class", *(f"{name}: {what}" for name in splits for what in ("pixels, %", "images"))]
    rows: list[list[object]] = []
    for index, (name, colour) in enumerate(zip(classes.names, classes.palette, strict=True)):
        cells: list[object] = []
        for counts in splits.values():
            total = int(counts.pixels.sum())
            cells += [f"{100 * counts.pixels[index] / total:.2f}" if total else "–", int(counts.images[index])]
        rows.append([swatch(colour, name), *cells])
    ignored: list[object] = ["ignored, % of all pixels"]
    for counts in splits.values():
        total = int(counts.pixels.sum()) + counts.ignored
        ignored += [f"{100 * counts.ignored / total:.2f}" if total else "–", ""]
    notes = [
        f"{name}: {counted(counts.total, 'image')}"
        + ("." if counts.read == counts.total else f", of which {counts.read} were counted.")
        for name, counts in splits.items()
    ]
    return joined([table("Labelled pixels and images by class", head, [*rows, ignored]), paragraph(" ".join(notes))])
