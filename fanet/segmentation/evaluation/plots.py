"""Plots of results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fanet.errors import needs_extra
from fanet.files import atomic_path

with needs_extra("seg", "matplotlib"):
    # Not pyplot, which may look for a display and keeps global state in the calling program.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

_LARGEST_SIDE = 12.0  # inches
_MOST_ANNOTATED = 20  # classes: with more, the numbers would not fit into their cells


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
