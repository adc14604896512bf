"""Scores as tables: by class, and the confusion matrix."""

from collections.abc import Mapping, Sequence

import numpy as np

from fanet.classes import ClassScheme
from fanet.segmentation.evaluation.report.images import swatch
from fanet.segmentation.evaluation.report.page import Html, joined, paragraph, shaded, table

_MOST_CLASSES = 30  # of the confusion matrix: more columns say nothing


def percent(value: float | None) -> str:
    """Format a score in %; None and nan are scores that do not exist."""
    return "–" if value is None or np.isnan(value) else f"{value:.1f}"


def class_table(classes: ClassScheme, columns: Mapping[str, Sequence[float | None]]) -> Html:
    """Return scores in % by class.

    Args:
        classes: Names and colours.
        columns: The scores of all classes, by what they are; the last row has their mean.
    """
    rows: list[list[object]] = [
        [swatch(colour, name), *(_score(values[index]) for values in columns.values())]
        for index, (name, colour) in enumerate(zip(classes.names, classes.palette, strict=True))
    ]
    rows.append(["mean", *(_score(_mean(values)) for values in columns.values())])
    return table("Scores by class, %", ["class", *columns], rows)


def confusion_table(matrix: np.ndarray, classes: ClassScheme) -> Html:
    """Return a confusion matrix of counts, rows are true classes, as shares of the rows in %."""
    totals = matrix.sum(axis=1)
    shown = sorted(np.argsort(-(totals + matrix.sum(axis=0)), kind="stable")[:_MOST_CLASSES].tolist())
    rows: list[list[object]] = []
    for index in shown:
        shares = matrix[index] / totals[index] if totals[index] else np.full(len(matrix), np.nan)
        cells = [
            "–" if np.isnan(shares[other]) else shaded(f"{100 * shares[other]:.1f}", shares[other]) for other in shown
        ]
        rows.append([swatch(classes.palette[index], classes.names[index]), *cells])
    caption = "Share of the pixels of a true class (row) that were predicted as a class (column), %"
    result = table(caption, ["truth", *(classes.names[index] for index in shown)], rows)
    if len(shown) == len(classes):
        return result
    return joined([result, paragraph(f"The {len(shown)} most frequent of {len(classes)} classes.")])


def _score(value: float | None) -> object:
    return "–" if value is None or np.isnan(value) else shaded(percent(value), value / 100)


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
