"""Logging to an experiment tracker, by those of accelerate."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanet.errors import UserError, needs_extra
from fanet.recipes import flatten

if TYPE_CHECKING:
    from accelerate import Accelerator

#: Trackers by name, and what installs each. `RunFolder` writes TensorBoard's files whatever is chosen: unlike
#: accelerate's tracker, it removes the points after the checkpoint that a run is resumed from.
TRACKERS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "comet_ml": "comet-ml",
    "clearml": "clearml",
}
_PROJECT = "fanet"
_RUN_NAMES = {"wandb": "name", "mlflow": "run_name"}  # how a tracker takes the name of a run, if it does
_UNFIT = re.compile(r"[^\w./ -]")  # what MLflow takes in no name


class Tracker:
    """A run in a tracker, opened by its first row in the main process; as a context manager, it is closed at the end.

    Args:
        accelerator: The processes of the run.
        name: One of `TRACKERS`, or None for none.
        recipe: Logged as the configuration of the run.
        folder: The folder of the run, after which the tracker names it.

    Raises:
        UserError: The tracker's package is not installed.
    """

    def __init__(self, accelerator: "Accelerator", name: str | None, recipe: Mapping[str, Any], folder: Path) -> None:
        with needs_extra("seg", "accelerate"):
            from accelerate.tracking import filter_trackers

        self.accelerator, self.recipe, self.folder = accelerator, recipe, folder
        self.name = None if name == "tensorboard" else name
        accelerator.log_with = [] if self.name is None else filter_trackers(self.name)
        if self.name is not None and not accelerator.log_with:
            raise UserError(f"{name} is not installed: pip install {TRACKERS[self.name]}, or set train.tracker=null")

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *exception: object) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def log(self, row: Mapping[str, float | None]) -> None:
        """Log a row of `log.csv`."""
        if self.name is None:
            return
        if not self.accelerator.trackers:
            self._open(self.name)
        values = {_UNFIT.sub("_", key): value for key, value in row.items() if key != "iteration" and value is not None}
        self.accelerator.log(values, step=row["iteration"])

    def _open(self, name: str) -> None:
        given = {_RUN_NAMES[name]: self.folder.resolve().name} if name in _RUN_NAMES else {}
        # a configuration is flat, and holds numbers and texts
        plain = {key: value if isinstance(value, int | float) else str(value) for key, value in flatten(self.recipe)}
        self.accelerator.init_trackers(_PROJECT, plain, {name: given})
