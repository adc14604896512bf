"""`clutterbench.png`: a small plot for each axis, a line with its interval for each model."""

import math
from pathlib import Path

from fanet.errors import needs_extra
from fanet.files import atomic_path
from fanet.segmentation.evaluation.clutterbench.axes import AXES, Axis
from fanet.segmentation.evaluation.clutterbench.models import short_names
from fanet.segmentation.evaluation.clutterbench.table import Row, Table

with needs_extra("seg", "matplotlib"):
    # Not pyplot, which may look for a display and keeps global state in the calling program.
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

PLOT_NAME = "clutterbench.png"

# Colours that the colour-blind tell apart (Okabe and Ito, 2008), without yellow, which is too light for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LINES = ("-", "--", "-.", ":")

_COLUMNS = 4
_WIDTH, _HEIGHT = 3.1, 2.7  # of a plot, inches


def number(cell: str) -> float:
    """Return the number in a cell, nan for an empty one."""
    return float(cell) if cell else math.nan


def points_of(axis: Axis, rows: list[Row], *columns: str) -> list[list[float]]:
    """Return the numbers on the axis, then those of columns, at the points that have an mIoU."""
    kept = [row for row in rows if row["miou_percent"]]
    return [
        [axis.shown(float(row["value"])) for row in kept],
        *([number(row[name]) for row in kept] for name in columns),
    ]


def plot_curves(table: Table, path: str | Path) -> None:
    """Plot the mIoU of all models along all axes that the table has, to a PNG. The file appears complete.

    Raises:
        UserError: The file's folder does not exist or cannot be written to.
    """
    shown = [axis for axis in AXES.values() if any(table.curve(model, axis.name) for model in table.models)]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(max(4.0, _WIDTH * columns), _HEIGHT * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, axis in zip(grid, shown, strict=False):
        _plot_axis(axes, axis, table)
    for axes in grid[::columns]:
        axes.set_ylabel("mIoU, %")
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _plot_axis(axes: Axes, axis: Axis, table: Table) -> None:
    for index, (model, name) in enumerate(zip(table.models, short_names(table.models), strict=True)):
        rows = table.curve(model, axis.name)
        at, miou, low, high = points_of(axis, rows, "miou_percent", "miou_low_percent", "miou_high_percent")
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(
            at,
            miou,
            label=name,
            color=colour,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            linewidth=1.6,
            linestyle=_LINES[index // len(COLOURS) % len(_LINES)],
        )
    axes.set_title(axis.title, fontsize=11)
    axes.set_xlabel(axis.unit, fontsize=9)
    axes.set_xticks([axis.shown(value) for value in axis.values])
    axes.tick_params(labelsize=8)
    axes.grid(color="#d8dade", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
