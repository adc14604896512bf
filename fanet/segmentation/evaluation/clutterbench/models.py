"""The models of a benchmark: their names, what identifies their weights, and their labels as those of the scenes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError
from fanet.segmentation.network.saving import BEST, FINAL
from fanet.segmentation.network.shipped import load_model, load_predictor
from fanet.segmentation.prediction.engines import AUTO
from fanet.segmentation.prediction.predictor import Predictor


@dataclass(frozen=True)
class Contestant:
    """A model that takes part.

    Attributes:
        name: As it was given.
        predictor: Runs it.
        indices: Of each of its classes the index in the scenes, (num_classes,) uint8.
        settings: What identifies its scores, by column.
    """

    name: str
    predictor: Predictor
    indices: np.ndarray
    settings: dict[str, str]

    @classmethod
    def load(
        cls,
        name: str,
        device: torch.device,
        engine: str | None = None,
        precision: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> "Contestant":
        """Load a model; arguments as for `load_predictor`.

        Raises:
            UserError: There is no such model, it cannot be run so, or its classes are not those of the scenes.
        """
        predictor = load_predictor(name, device, engine=engine, precision=precision, classes=classes, thresholds=False)
        settings = {
            "weights": _fingerprint(name),
            "engine": engine or ("onnx" if _is_file(name) else "eager"),
            "precision": precision or ("any" if engine == AUTO else "fp32"),
            "device": device.type,
        }
        return cls(name, predictor, indices_of(predictor.classes, name), settings)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """Return the classes of the scenes that it predicts: (H, W) uint8.

        Raises:
            UserError: It gives more classes than it said.
        """
        labels = self.predictor.labels(image)
        if labels.max() >= len(self.indices):
            raise UserError(f"{self.name} gives scores of more than the {len(self.indices)} classes that it names")
        return self.indices[labels]


def indices_of(known: ClassScheme, model: str) -> np.ndarray:
    """Return the index in the scenes of each class of a model, matched by name: (num_classes,) uint8.

    Classes that are only numbered are those of the scenes in their order.

    Raises:
        UserError: The classes are others.
    """
    if known.names == ClassScheme.numbered(len(ZEROWASTE)).names:
        return np.arange(len(ZEROWASTE), dtype=np.uint8)
    if set(known.names) != set(ZEROWASTE.names):
        shown = ", ".join(known.names[:6]) + (", …" if len(known) > 6 else "")
        raise UserError(
            f"{model} knows the classes {shown}, and the scenes have {', '.join(ZEROWASTE.names)}: choose a model that "
            "was trained on ZeroWaste-f or on generated scenes"
        )
    return np.array([ZEROWASTE.names.index(name) for name in known.names], dtype=np.uint8)


def short_names(models: Sequence[str]) -> list[str]:
    """Return names for legends: that of the folder, the run or the file, or all of it if another model has the same."""
    short = [short_name(model) for model in models]
    return [name if short.count(name) == 1 else model for name, model in zip(short, models, strict=True)]


def short_name(model: str | Path) -> str:
    """Return the name of a model's folder or file; of a training run's model that of the run; a Hub id as it is."""
    path = Path(model)
    if not path.exists():
        return str(model)
    path = path.resolve()
    return path.parent.name if path.name in (BEST, FINAL) else path.stem if path.is_file() else path.name


def _is_file(name: str) -> bool:
    return Path(name).suffix.lower() == ".onnx"


def _fingerprint(name: str) -> str:
    """Return some digits that are the same for the same weights, and for an ONNX file the same description."""
    found = hashlib.sha256()
    if _is_file(name):
        # exporters put the weights beside the file, under its name and an ending; a description is there, too
        path = Path(name)
        for part in sorted(path.parent.iterdir()):
            if part.name.startswith(path.name) or part == path.with_suffix(".json"):
                found.update(part.read_bytes())
    else:
        for key, tensor in load_model(name).state_dict().items():
            found.update(key.encode())
            found.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:12]
