"""Plots of results."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import needs_extra
from fanet.files import atomic_path
from fanet.media.drawing import is_tinted

with needs_extra("seg", "matplotlib"):
    # Not pyplot, which may look for a display and keeps global state in the calling program.
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

_LARGEST_SIDE = 12.0  # inches
_MOST_ANNOTATED = 20  # classes: with more, the numbers would not fit into their cells

#: Inches: a column of a paper, at which the text of panels is as large as that of a caption.
COLUMN = 3.5
_FONT: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 6.5}
_TITLE_HEIGHT, _NOTE_HEIGHT, _LEGEND_HEIGHT, _GAP = 0.14, 0.12, 0.17, 0.05  # inches


@dataclass(frozen=True)
class Panel:
    """An image or a map of a figure, with a title above and a note below.

    Attributes:
        title: What it is.
        pixels: (H, W, 3) uint8 RGB, or (H, W) numbers that are drawn in colours.
        note: A line below.
        colours: Matplotlib's name of the colours of numbers.
        limits: Numbers that get the first and the last colour; by default the 1st and the 99th percentile.
    """

    title: str
    pixels: np.ndarray
    note: str = ""
    colours: str = "viridis"
    limits: tuple[float, float] | None = None


def plot_confusion_matrix(matrix: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Plot a confusion matrix to a PNG: each row, a true class, in % of its pixels. The file appears complete.

    Args:
        matrix: Counts (num_classes, num_classes), rows are true classes. Rows of classes that never occur stay empty.
        names: Class names.
        path: The file to write.

    Raises:
        UserError: The file's folder does not exist or cannot be written to.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(100 * matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)
    side = min(max(4.0, 0.9 * len(names) + 2), _LARGEST_SIDE)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="% of the pixels of the true class", fraction=0.046)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    if len(names) <= _MOST_ANNOTATED:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                axes.text(
                    column, row, f"{share:.1f}", ha="center", va="center", color="white" if share > 60 else "black"
                )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, bbox_inches="tight")


def plot_panels(
    rows: Sequence[Sequence[Panel | None]],
    path: str | Path,
    classes: ClassScheme | None = None,
    note: str = "",
    width: float = COLUMN,
    dpi: int = 200,
) -> None:
    """Plot images in rows to a PNG that is legible at its width in inches. The file appears complete.

    Args:
        rows: Panels, from the top; all rows as many, None leaves a place empty.
        path: The file to write.
        classes: Those whose colours are explained below.
        note: A line below all.
        width: Inches.
        dpi: Pixels of an inch.

    Raises:
        UserError: The file's folder does not exist or cannot be written to.
    """
    columns = len(rows[0])
    wide = (width - (columns - 1) * _GAP) / columns
    heights = [wide * max(_aspect(panel) for panel in row) for row in rows]
    above = [_TITLE_HEIGHT if any(panel and panel.title for panel in row) else 0.0 for row in rows]
    below = [_NOTE_HEIGHT if any(panel and panel.note for panel in row) else 0.0 for row in rows]
    entries = [] if classes is None else _legend(classes)
    per_row = max(1, min(len(entries), int(width / 0.85)))
    legend = _LEGEND_HEIGHT * -(-len(entries) // per_row)
    foot = legend + (_NOTE_HEIGHT if note else 0)
    total = sum(above) + sum(heights) + sum(below) + len(rows) * _GAP + foot
    with matplotlib.rc_context(_FONT):
        figure = Figure(figsize=(width, total), dpi=dpi, facecolor="white")
        FigureCanvasAgg(figure)
        top = total
        for row, over, height, under in zip(rows, above, heights, below, strict=True):
            top -= over + height
            for place, panel in enumerate(row):
                if panel is not None:
                    box = (place * (wide + _GAP) / width, top / total, wide / width, height / total)
                    _draw_panel(figure.add_axes(box), panel)
            top -= under + _GAP
        for number, (colour, name) in enumerate(entries):
            x = (number % per_row) / per_row
            y = (foot - (number // per_row + 0.5) * _LEGEND_HEIGHT) / total
            square = Rectangle((x, y - 0.045 / total), 0.11 / width, 0.09 / total, facecolor=colour, edgecolor="black")
            square.set_linewidth(0.4)
            figure.add_artist(square)
            figure.text(x + 0.15 / width, y, name, va="center_baseline")
        if note:
            figure.text(0.5, 0.25 * _NOTE_HEIGHT / total, note, ha="center", va="baseline", fontsize=5.5)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def _aspect(panel: Panel | None) -> float:
    return 0.0 if panel is None else panel.pixels.shape[0] / panel.pixels.shape[1]


def _legend(classes: ClassScheme) -> list[tuple[tuple[float, ...] | str, str]]:
    """Return colour and name of every class that overlays tint."""
    return [
        (tuple(channel / 255 for channel in colour), name.replace("_", " "))
        for index, (name, colour) in enumerate(zip(classes.names, classes.palette, strict=True))
        if is_tinted(classes, index)
    ]


def _draw_panel(axes: Axes, panel: Panel) -> None:
    low, high = panel.limits or np.percentile(panel.pixels, (1, 99))
    is_image = panel.pixels.ndim == 3
    axes.imshow(
        panel.pixels,
        cmap=None if is_image else panel.colours,
        vmin=None if is_image else low,
        vmax=None if is_image else high,
        interpolation="antialiased",
    )
    axes.axis("off")
    axes.set_title(panel.title, fontsize=6.5, pad=1.5)
    if panel.note:
        axes.text(0.5, -0.02, panel.note, transform=axes.transAxes, ha="center", va="top", fontsize=5.5)
