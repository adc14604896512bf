"""The folder of a training run: what is in it, and how it is written."""

import csv
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from fanet.errors import UserError, needs_extra
from fanet.files import UNFINISHED, atomic_path, make_folder
from fanet.recipes import flatten
from fanet.segmentation.network.checkpoints import is_run_checkpoint
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.network.saving import BEST, FINAL
from fanet.segmentation.training.settings import OPTIONAL_KEYS

CHECKPOINT = "last.pt"
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
# How the same samples are reached: a run may be resumed where its data has moved, or with more workers.
FREE_KEYS = ("data.root", "data.in_memory", "data.workers")


class RunFolder:
    """Recipe, environment, logs, checkpoint and models of one run. Files appear whole or not at all.

    - `recipe.yaml`, `environment.json`: what runs, and on which versions;
    - `log.csv`, `tensorboard/`: a row an evaluation; `loss` is the mean since the last one, IoU and accuracy are in %;
    - `last.pt`: the checkpoint to resume from;
    - `best/`, `final/`: models for `SegmentationModel.from_pretrained`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint_path = path / CHECKPOINT

    def prepare(self, recipe: Mapping, resume: bool) -> dict[str, Any] | None:
        """Looks before anything is written: the checkpoint to go on from, or None for a run from the start.

        Raises:
            UserError: the folder holds something else than `resume` says, or a run with another recipe, or its
                checkpoint cannot be read.
        """
        _summary_writer()  # better missed now than after the first thousand steps
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file: choose a folder for the run")
        used = self.path.exists() and any(self.path.iterdir())
        if not resume:
            if used:
                raise UserError(
                    f"{self.path} is not empty: choose another folder, or resume the run in it with --resume"
                )
            return None
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(UNFINISHED)} if used else set()
        if names <= {RECIPE, ENVIRONMENT}:
            self._remove_unfinished()
            return None  # the run was stopped before it had begun
        if not self.checkpoint_path.is_file():
            raise UserError(f"nothing to resume: {self.checkpoint_path} does not exist; start a run in another folder")
        checkpoint = self._read()
        if not isinstance(checkpoint, dict) or not is_run_checkpoint(checkpoint):
            raise UserError(f"{self.checkpoint_path} is not of a training run: choose another folder")
        before, now = (OPTIONAL_KEYS | dict(flatten(settings)) for settings in (checkpoint["recipe"], recipe))
        for key in before | now:
            if before.get(key) != now.get(key) and key not in FREE_KEYS:
                raise UserError(
                    f"cannot resume {self.path} with another recipe: "
                    f"{key} was {before.get(key)!r} and is {now.get(key)!r} now; set it back, or take another folder"
                )
        self._remove_unfinished()
        return checkpoint

    def _remove_unfinished(self) -> None:
        """Removes what a run that was killed while it wrote has left; only where that is the run's own."""
        for folder in (self.path, self.path / BEST, self.path / FINAL):
            for unfinished in folder.glob(f"{UNFINISHED}*"):
                unfinished.unlink(missing_ok=True)

    def _read(self) -> Any:
        try:
            return torch.load(self.checkpoint_path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as error:
            raise UserError(
                f"{self.checkpoint_path} is not a readable checkpoint: start again in another folder"
            ) from error

    def describe(self, recipe: Mapping, environment: str) -> None:
        """Writes `recipe.yaml` and `environment.json`."""
        make_folder(self.path)
        for name, text in ((RECIPE, yaml.safe_dump(dict(recipe), sort_keys=False)), (ENVIRONMENT, environment)):
            with atomic_path(self.path / name) as path:
                path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")

    def save_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Writes `last.pt`."""
        with atomic_path(self.checkpoint_path) as path:
            torch.save(dict(checkpoint), path)

    def save_model(self, model: SegmentationModel, name: str) -> None:
        """Writes a model: `best` or `final`."""
        model.save_pretrained(self.path / name)

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Writes `log.csv` anew, and the last row to TensorBoard."""
        with atomic_path(self.path / "log.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        last = rows[-1]
        step = int(last["iteration"])
        # What a run wrote behind the checkpoint that it was resumed from is purged, or the curves would run double.
        with _summary_writer()(str(self.path / "tensorboard"), purge_step=step) as board:
            for key, value in last.items():
                if key != "iteration" and value is not None:
                    board.add_scalar(key, value, step)


def _summary_writer() -> Any:
    """TensorBoard's writer class, which takes a second to import."""
    with needs_extra("seg", "tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter
