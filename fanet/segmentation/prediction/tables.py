"""Tables of what a prediction finds: objects, and the shares of classes over time."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import needs_extra
from fanet.files import atomic_path
from fanet.segmentation.prediction.objects import SegmentedObject
from fanet.segmentation.prediction.outlines import well_known_text

#: Columns that say where an object is from: of an image, and of a video's frame.
OF_IMAGE, OF_FRAME = ("image", "page"), ("video", "frame", "seconds")
#: Columns of an object.
COLUMNS = (
    "object",
    "class",
    "area",
    "share",
    "centroid_x",
    "centroid_y",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
    "mean_probability",
    "outline",
)
TIME = ("frame", "seconds")

_MOST_POINTS = 2000  # along the axis of time: more are not seen
_MOST_NAMED = 20  # classes in a legend


class Table:
    """A CSV file that is being written; `write_table` yields one."""

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")

    def add(self, row: Sequence[object]) -> None:
        """Append a row."""
        self._writer.writerow(row)


@contextmanager
def write_table(path: str | Path, columns: Sequence[str]) -> Iterator[Table]:
    """Write a CSV file in UTF-8, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = Table(file)
        table.add(columns)
        yield table


def object_row(entry: SegmentedObject, number: int, tolerance: float) -> list[object]:
    """Return the values of `COLUMNS`.

    Args:
        entry: The object.
        number: Which one of its image it is, from 1.
        tolerance: As for `SegmentedObject.outline`.
    """
    return [
        number,
        entry.name,
        entry.area,
        f"{entry.share:.6g}",
        *(f"{value:.2f}" for value in entry.centroid),
        *entry.box,
        "" if entry.probability is None else f"{entry.probability:.4f}",
        well_known_text(entry.outline(tolerance)),
    ]


def share_columns(classes: ClassScheme) -> tuple[str, ...]:
    """Return the columns of a table of shares: frame, seconds, and a `share_NAME` for each class."""
    return (*TIME, *(f"share_{name}" for name in classes.names))


def share_row(frame: int, seconds: float, labels: np.ndarray, classes: ClassScheme) -> list[object]:
    """Return the values of `share_columns` for a frame's label map, (H, W) uint8; shares are 0..1."""
    shares = (np.count_nonzero(labels == index) / labels.size for index in range(len(classes)))
    return [frame, f"{seconds:.3f}", *(f"{share:.6g}" for share in shares)]


def plot_shares(table: str | Path, path: str | Path, classes: ClassScheme) -> None:
    """Plot a table of shares over time to a PNG: the classes that occur, without the background, on top of each other.

    Args:
        table: A CSV file with the columns of `share_columns`.
        path: The file to write.
        classes: The classes of the table.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    with needs_extra("seg", "matplotlib"):
        # Not pyplot, which may look for a display and keeps global state in the calling program.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    values = _averaged(np.loadtxt(table, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8"))
    seconds, shares = values[:, 1], 100 * values[:, len(TIME) :]
    shown = [index for index in range(len(classes)) if index != classes.background and shares[:, index].any()]
    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if shown:
        colours = ["#{:02x}{:02x}{:02x}".format(*classes.palette[index]) for index in shown]
        axes.stackplot(seconds, shares[:, shown].T, labels=[classes.names[index] for index in shown], colors=colours)
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[:_MOST_NAMED], names[:_MOST_NAMED], loc="upper left", bbox_to_anchor=(1, 1))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("share of the frame (%)")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _averaged(values: np.ndarray) -> np.ndarray:
    """Average consecutive rows, so that they are not too many for a plot."""
    step = -(-len(values) // _MOST_POINTS)
    starts = np.arange(0, len(values), step)
    return np.add.reduceat(values, starts) / np.diff([*starts, len(values)])[:, None]
