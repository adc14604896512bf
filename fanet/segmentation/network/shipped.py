"""Trained models by name: those inside the package, and any other."""

import json
from importlib.resources import files
from pathlib import Path

from fanet.errors import UserError
from fanet.segmentation.network.model import SegmentationModel
from fanet.weights.sources import CONFIG_NAME

FOLDER = Path(str(files("fanet"))) / "models"
DEFAULT = "clutter"


def shipped_models() -> list[str]:
    """Return the names of the trained models inside the package."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def trained_on(name: str) -> str:
    """Return what a model inside the package was trained on."""
    return json.loads((FOLDER / name / CONFIG_NAME).read_text(encoding="utf-8"))["trained_on"]


def load_model(name: str | Path | None = None) -> SegmentationModel:
    """Load a trained segmentation model, in evaluation mode.

    Args:
        name: The name of a model inside the package, `clutter`; or a folder, a checkpoint file or a Hub id. A bare name
            means the model inside the package, `./clutter` a folder. By default `clutter`.

    Raises:
        UserError: There is no usable model under that name, or it is a training run and not one of its models.
    """
    name = DEFAULT if name is None else name
    if name in shipped_models():
        return SegmentationModel.from_pretrained(FOLDER / name)
    if isinstance(name, str) and name.isidentifier() and not Path(name).exists():
        raise UserError(
            f"{name}: no such folder or file, and no model of that name inside the package, "
            f"which has {', '.join(shipped_models())}"
        )
    return SegmentationModel.from_pretrained(name)
