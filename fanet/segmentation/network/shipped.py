"""Trained models by name: those inside the package, and any other."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import torch

from fanet.errors import UserError
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.prediction.engines import build_file_engine
from fanet.segmentation.prediction.engines.onnx import FixedSize, OnnxEngine, read_description, read_thresholds
from fanet.segmentation.prediction.engines.packaged import PackagedEngine
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.windows import OVERLAP

FOLDER = Path(str(files("fanet"))) / "models"
DEFAULT = "clutter"
FILE_SUFFIXES = (".onnx", ".pt2")  # of what `fanet export` writes


def shipped_models() -> list[str]:
    """Return the names of the trained models inside the package."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def about(name: str) -> dict[str, str]:
    """Return what a model inside the package was trained on, its score and its licence."""
    return json.loads((FOLDER / name / "about.json").read_text(encoding="utf-8"))


def trained_on(name: str) -> str:
    """Return what a model inside the package was trained on."""
    return about(name)["trained_on"]


def load_model(name: str | Path | None = None) -> SegmentationModel:
    """Load a trained segmentation model, in evaluation mode.

    Args:
        name: The name of a model inside the package, `bags` or `clutter`; or a folder, a checkpoint file or a Hub id. A
            bare name means the model inside the package, `./bags` a folder. By default `clutter`.

    Raises:
        UserError: There is no usable model under that name, or it is a training run and not one of its models.
    """
    name = DEFAULT if name is None else name
    if name in shipped_models():
        return SegmentationModel.from_pretrained(FOLDER / name)
    if Path(name).suffix.lower() in FILE_SUFFIXES:
        kind = "an ONNX file" if Path(name).suffix.lower() == ".onnx" else "a compiled package"
        raise UserError(f"{name} is {kind}, which only predicts and evaluates: name the model it was made from")
    if isinstance(name, str) and name.isidentifier() and not Path(name).exists():
        raise UserError(
            f"{name}: no such folder or file, and no model of that name inside the package, "
            f"which has {', '.join(shipped_models())}"
        )
    return SegmentationModel.from_pretrained(name)


def load_predictor(
    name: str | Path | None = None,
    device: torch.device | str = "cpu",
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    engine: str | None = None,
    precision: str | None = None,
    classes: Sequence[str] | None = None,
    thresholds: bool = True,
) -> Predictor:
    """Load a trained segmentation model for prediction.

    Args:
        name: As for `load_model`; or an ONNX file, which is run by ONNX Runtime, or a `.pt2` file. An ONNX file that
            `fanet export` did not write needs a file beside it that names its classes, see
            `engines.onnx.read_description`, or `classes`.
        device: Device on which to run it; the CPU for a file.
        window: As for `SegmentationModel.predictor`; a file for one size uses windows of it.
        overlap: As for `SegmentationModel.predictor`.
        scales: As for `SegmentationModel.predictor`.
        flip: As for `SegmentationModel.predictor`.
        engine: As for `SegmentationModel.predictor`; an ONNX file is run by `onnx`, the default, `openvino` or `auto`.
        precision: As for `SegmentationModel.predictor`.
        classes: Names of the classes of an ONNX file that comes without them.
        thresholds: Whether the thresholds of the model are applied, if it has any.

    Raises:
        UserError: There is no usable model under that name, it does not take these windows, or the engine is not
            available.
    """
    suffix = "" if name is None else Path(name).suffix.lower()
    if name is None or suffix not in FILE_SUFFIXES:
        model = load_model(name).to(device)
        return model.predictor(window, overlap, scales, flip, engine or "eager", precision, thresholds)
    if torch.device(device).type != "cpu":
        raise UserError(f"an exported file runs on the CPU, not on {device}: give --device cpu")
    if suffix == ".pt2" and (engine or precision not in (None, "fp32")):
        raise UserError(f"{name} is an engine itself, in fp32: leave --engine and --precision out")
    file = PackagedEngine(name) if suffix == ".pt2" else OnnxEngine(name)
    scheme, preprocessing = read_description(file, name, classes)
    if file.size is not None and window not in (None, file.size):
        raise UserError(f"{name} takes images of {file.size[0]}x{file.size[1]} pixels: leave --window out")
    run = build_file_engine(engine, name, precision) if suffix == ".onnx" and (engine or precision) else file
    return Predictor(
        run if file.size is None else FixedSize(run, file.size),
        preprocessing,
        scheme,
        window=file.size or window,
        overlap=overlap,
        scales=tuple(scales),
        flip=flip,
        channels=len(preprocessing.mean),
        thresholds=read_thresholds(file, name, scheme) if thresholds else None,
    )
