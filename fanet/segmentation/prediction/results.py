"""What is written for images: label maps, overlays and whatever else is asked for."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import printable_line
from fanet.files import atomic_path, make_folder
from fanet.media.channels import visible
from fanet.media.drawing import overlay_rows
from fanet.media.images import write_png, write_png_rows
from fanet.media.legend import legend_strip, tinted_classes
from fanet.segmentation.prediction.annotations import Annotations, write_annotations
from fanet.segmentation.prediction.extras import Extras, Outcome
from fanet.segmentation.prediction.objects import SegmentedObject, find_objects
from fanet.segmentation.prediction.plan import ALL_OBJECTS, Prediction
from fanet.segmentation.prediction.tables import COLUMNS, OF_IMAGE, Table, object_row, write_table
from fanet.segmentation.prediction.undecided import as_drawn, label_palette, with_undecided


class ImageResults:
    """Writes the results of images; `write_image_results` yields one."""

    def __init__(
        self,
        classes: ClassScheme,
        legend: bool,
        extras: Extras,
        table: Table | None,
        annotations: Sequence[Annotations],
        has_undecided: bool = False,
    ) -> None:
        self._classes, self._legend, self._extras = classes, legend, extras
        self._table, self._annotations = table, annotations
        self._drawn = with_undecided(classes) if has_undecided else classes

    def write(self, files: Prediction, image: np.ndarray, outcome: Outcome) -> None:
        """Write all results of one image."""
        make_folder(files.labels.parent)
        self._draw(files, image, outcome.labels)
        if outcome.probabilities is not None:
            _write_arrays(files, outcome.probabilities, self._classes)
        if not self._extras.needs_objects:
            return
        objects = find_objects(outcome.labels, self._classes, outcome.confidence, self._extras.min_area)
        if self._table is not None:
            self._list(files, objects, self._table)
        size = (outcome.labels.shape[0], outcome.labels.shape[1])
        for annotations in self._annotations:
            annotations.add(files.source, files.name, size, objects)

    def _draw(self, files: Prediction, image: np.ndarray, labels: np.ndarray) -> None:
        classes = self._drawn
        write_png(files.labels, labels, label_palette(self._classes, classes))
        labels = as_drawn(labels, self._classes, classes)
        seen = visible(image)
        strip = legend_strip(classes, tinted_classes(labels, classes) if self._legend else (), seen.shape[1])
        rows = chain(overlay_rows(seen, labels, classes), [strip] if len(strip) else [])
        write_png_rows(files.overlay, (len(seen) + len(strip), *seen.shape[1:]), rows)

    def _list(self, files: Prediction, objects: Sequence[SegmentedObject], table: Table) -> None:
        with write_table(files.objects, (*OF_IMAGE, *COLUMNS)) as own:
            for number, entry in enumerate(objects, start=1):
                origin = [printable_line(files.source), files.page or ""]
                row = [*origin, *object_row(entry, number, self._extras.tolerance)]
                own.add(row)
                table.add(row)


@contextmanager
def write_image_results(
    planned: Sequence[Prediction], classes: ClassScheme, legend: bool, has_undecided: bool = False
) -> Iterator[ImageResults]:
    """Write the results of images. What is of all of them appears when the block succeeds.

    Args:
        planned: The images, at least one.
        classes: The model's classes.
        legend: Whether overlays have a legend.
        has_undecided: Whether pixels with the ignored label are drawn as undecided.
    """
    extras, output = planned[0].extras, planned[0].output
    with ExitStack() as stack:
        table = None
        if extras.objects:
            table = stack.enter_context(write_table(make_folder(output) / ALL_OBJECTS, (*OF_IMAGE, *COLUMNS)))
        annotations = [
            stack.enter_context(write_annotations(form, output, classes, extras.tolerance))
            for form in extras.annotations
        ]
        yield ImageResults(classes, legend, extras, table, annotations, has_undecided)


def _write_arrays(files: Prediction, probabilities: np.ndarray, classes: ClassScheme) -> None:
    with atomic_path(files.probabilities) as temporary:  # not compressed: that saves a tenth, and takes seconds
        np.savez(temporary, probabilities=probabilities, classes=np.array(classes.names))
