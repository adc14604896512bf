"""Thresholds written into the folder of a model, or into a copy of it."""

import json
import os
import shutil
from pathlib import Path

from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.network.shipped import FILE_SUFFIXES, FOLDER, load_model, shipped_models
from fanet.segmentation.prediction.thresholds import THRESHOLDS, PurityThresholds
from fanet.weights.sources import CONFIG_NAME, WEIGHTS_NAME


def check_target(name: str, output: str | Path | None) -> None:
    """Check that thresholds can be stored, before they are looked for.

    Args:
        name: The model, as for `load_model`.
        output: As for `write_thresholds`.

    Raises:
        UserError: They cannot: the model is an exported file, is no folder or must not be changed, or the folder for
            the copy is not empty.
    """
    if Path(name).suffix.lower() in FILE_SUFFIXES:
        load_model(name)  # which refuses it: a copy would be no help
    folder = _folder_of(name)
    if output is None:
        if folder is None or name in shipped_models():
            what = "a model inside the package" if name in shipped_models() else "not the folder of a model"
            raise UserError(f"{name} is {what}, which cannot be changed: give -o DIR for a copy with thresholds")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"no permission to write in {folder}: give -o DIR for a copy with thresholds")
        return
    if Path(output).exists() and not (Path(output).is_dir() and not any(Path(output).iterdir())):
        raise UserError(f"{output} exists and is not an empty folder: choose another for the copy")


def write_thresholds(
    name: str, model: SegmentationModel, thresholds: PurityThresholds, output: str | Path | None = None
) -> Path:
    """Store thresholds with a model, and return its folder.

    Args:
        name: The model, as for `load_model`.
        model: What that returned.
        thresholds: What `fanet calibrate` found.
        output: A new folder for a copy of the model, with its weights as they are; None to change the model's own.

    Raises:
        UserError: As for `check_target`, or the folder cannot be written to.
    """
    check_target(name, output)
    folder = _folder_of(name)
    target = folder if output is None else make_folder(output)
    assert target is not None, "checked above"
    if folder is None:  # a checkpoint or a repository on the Hub
        model.thresholds = thresholds
        model.save_pretrained(target)
        return target
    if folder != target:
        with atomic_path(target / WEIGHTS_NAME) as path:
            shutil.copyfile(folder / WEIGHTS_NAME, path)
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    with atomic_path(target / CONFIG_NAME) as path:
        path.write_text(json.dumps({**config, THRESHOLDS: thresholds.to_dict()}, indent=2) + "\n", encoding="utf-8")
    return target


def _folder_of(name: str) -> Path | None:
    """Return the folder of a model that `save_pretrained` wrote; None if it is none."""
    folder = FOLDER / name if name in shipped_models() else Path(name).expanduser()
    return folder if (folder / CONFIG_NAME).is_file() and (folder / WEIGHTS_NAME).is_file() else None
