"""The folder of a training run: what is in it, and how it is written."""

import copy
import csv
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from fanet.errors import UserError, needs_extra
from fanet.files import UNFINISHED, atomic_path, make_folder, named_if_full
from fanet.recipes import flatten
from fanet.segmentation.network.checkpoints import is_run_checkpoint
from fanet.segmentation.network.half import scale_for_half
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.network.saving import BEST, FINAL
from fanet.segmentation.training.settings import OPTIONAL_KEYS

CHECKPOINT = "last.pt"
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
# A run may be resumed after its data has moved, and go on for longer or be evaluated at other times than planned.
FREE_KEYS = (
    "data.root",
    "data.in_memory",
    "data.workers",
    "train.iterations",
    "train.patience",
    "train.tracker",
    "evaluation.every",
)


class RunFolder:
    """Recipe, environment, logs, checkpoint and models of one run. Files are written completely or not at all.

    - `recipe.yaml`, `environment.json`: the settings, and the versions used;
    - `log.csv`, `tensorboard/`: one row for each evaluation; `loss` is the mean since the previous one, mIoU, IoU and
      accuracy are in %;
    - `report.html`: a page with the curves, scores, images and settings, see `RunReport`;
    - `last.pt`: the checkpoint to resume from;
    - `best/`, `final/`: models for `SegmentationModel.from_pretrained`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint_path = path / CHECKPOINT

    def prepare(self, recipe: Mapping, resume: bool) -> dict[str, Any] | None:
        """Check the folder before anything is written, and return the checkpoint to resume from; None for a new run.

        Raises:
            UserError: The folder is not empty, or with `resume` holds no run or a run with another recipe, or its
                checkpoint cannot be read.
        """
        _summary_writer()  # a missing TensorBoard should show before the first steps, not after
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
            return None  # the run was stopped before its first step
        if not self.checkpoint_path.is_file():
            raise UserError(f"nothing to resume: {self.checkpoint_path} does not exist; start a run in another folder")
        checkpoint = self._read()
        if not isinstance(checkpoint, dict) or not is_run_checkpoint(checkpoint):
            raise UserError(f"{self.checkpoint_path} is not the checkpoint of a training run: choose another folder")
        before, now = (
            {key: value for key, value in (OPTIONAL_KEYS | dict(flatten(stated))).items() if value != {}}
            for stated in (checkpoint["recipe"], recipe)
        )
        for key in before | now:
            if before.get(key) != now.get(key) and key not in FREE_KEYS:
                raise UserError(
                    f"cannot resume {self.path} with another recipe: "
                    f"{key} was {before.get(key)!r} and is now {now.get(key)!r}; set it back, or choose another folder"
                )
        done, wanted = checkpoint["progress"]["iteration"], now["train.iterations"]
        if done > wanted:
            raise UserError(f"{self.path} is at iteration {done}: train.iterations must be at least that, not {wanted}")
        self._remove_unfinished()
        return checkpoint

    def _remove_unfinished(self) -> None:
        """Remove the unfinished files of a run that was killed while it wrote them."""
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
        """Write `recipe.yaml` and `environment.json`."""
        make_folder(self.path)
        for name, text in ((RECIPE, yaml.safe_dump(dict(recipe), sort_keys=False)), (ENVIRONMENT, environment)):
            with atomic_path(self.path / name) as path:
                path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")

    def save_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Write `last.pt`."""
        with atomic_path(self.checkpoint_path) as path:
            torch.save(dict(checkpoint), path)

    def save_model(self, model: SegmentationModel, name: str) -> None:
        """Write a model: `best` or `final`."""
        model = copy.deepcopy(model)
        scale_for_half(model)
        model.save_pretrained(self.path / name)

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write all rows to `log.csv`, and the last one to TensorBoard."""
        with atomic_path(self.path / "log.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        last = rows[-1]
        step = int(last["iteration"])
        # Purges what was logged after the checkpoint that a run was resumed from; curves would show it twice.
        curves = self.path / "tensorboard"
        with named_if_full(curves), _summary_writer()(str(curves), purge_step=step) as board:
            for key, value in last.items():
                if key != "iteration" and value is not None:
                    board.add_scalar(key, value, step)


def _summary_writer() -> Any:
    """Import TensorBoard's writer, which takes a second."""
    with needs_extra("seg", "tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter
