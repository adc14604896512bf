"""`scores.csv`: a row for each model at each point of an axis, the only state of a benchmark."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts, bootstrap_miou

SCORES_NAME = "scores.csv"

Row = dict[str, str]

KEY = ("model", "axis", "value")
SCORES = (
    "miou_percent",
    "miou_low_percent",
    "miou_high_percent",
    *(f"iou_{name}_percent" for name in ZEROWASTE.names),
)
SHARED = ("scenes", "seed", "size", "fanet", "torch", "numpy", "opencv")  # the same for all rows of a folder
OF_MODEL = ("weights", "engine", "precision", "device")  # the same for all rows of a model
COLUMNS = (*KEY, *SCORES, *SHARED, *OF_MODEL)


def scores_of(counts: ImageCounts) -> dict[str, float]:
    """Return mIoU with its 95 % bootstrap interval over images, and IoU by class, in %; nan for what does not exist."""
    confusion = ConfusionMatrix.of(counts.matrix)
    low, high = bootstrap_miou(counts.margins) or (float("nan"), float("nan"))
    values = (confusion.miou, low, high, *confusion.iou())
    return {name: 100 * float(value) for name, value in zip(SCORES, values, strict=True)}


def score_cells(scores: Mapping[str, float]) -> Row:
    """Return scores as cells: two decimal places, empty for what does not exist."""
    return {name: "" if np.isnan(value) else f"{value:.2f}" for name, value in scores.items()}


class Table:
    """The rows of a folder, in the order of its models, the axes and their values."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: `scores.csv`, read if it exists.

        Raises:
            UserError: It is not the file of a benchmark.
        """
        self.path = path
        self.rows: list[Row] = []
        if not path.is_file():
            return
        try:
            with path.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                columns, self.rows = tuple(reader.fieldnames or ()), list(reader)
        except (OSError, ValueError, csv.Error) as error:
            raise UserError(f"{path} cannot be read ({error}): choose another folder") from error
        if columns != COLUMNS or any(None in (*row, *row.values()) for row in self.rows):
            raise UserError(f"{path} is not what this version of ClutterBench writes: choose another folder")

    @property
    def models(self) -> list[str]:
        """The models in the order in which they came."""
        return list(dict.fromkeys(row["model"] for row in self.rows))

    def find(self, model: str, axis: str, value: float) -> Row | None:
        """Return a row, or None if the point is not finished."""
        key = (model, axis, f"{value:g}")
        return next((row for row in self.rows if tuple(row[name] for name in KEY) == key), None)

    def curve(self, model: str, axis: str) -> list[Row]:
        """Return the rows of a model along an axis."""
        return [row for row in self.rows if (row["model"], row["axis"]) == (model, axis)]

    def check(self, shared: Row, of_models: Mapping[str, Row]) -> None:
        """Check that rows with these settings may stand beside the ones that are there.

        Args:
            shared: The settings of all rows.
            of_models: Those of each model.

        Raises:
            UserError: They may not.
        """
        for row in self.rows:
            wanted = shared | of_models.get(row["model"], {})
            for name, value in wanted.items():
                if row[name] != value:
                    whose = "" if name in SHARED else f" of {row['model']}"
                    raise UserError(
                        f"{self.path} has scores{whose} with {name} {row[name]}, not {value}: choose another folder, "
                        "or the same settings"
                    )

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows and write the file, whole or not at all."""
        self.rows += rows
        models, axes = self.models, list(AXES)
        self.rows.sort(key=lambda row: (models.index(row["model"]), axes.index(row["axis"]), float(row["value"])))
        write_rows(self.path, COLUMNS, self.rows)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows as CSV, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
