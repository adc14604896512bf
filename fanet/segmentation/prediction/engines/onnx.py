"""The engine that runs an ONNX file with ONNX Runtime (extra `onnx`)."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fanet.classes import ClassScheme
from fanet.errors import UserError, needs_extra, one_line
from fanet.segmentation.prediction.engines.packaged import PackagedEngine
from fanet.segmentation.prediction.thresholds import THRESHOLDS, PurityThresholds
from fanet.segmentation.preprocessing import Preprocessing

# What a file says about itself.
_KEYS = ("classes", "palette", "ignore_index", "preprocessing")


class OnnxEngine:
    """Runs an ONNX file: normalised images (B, C, H, W) -> logits (B, num_classes, h, w)

    Attributes:
        takes_pixels: Whether the preprocessing is in the file, which then takes (B, H, W, C) uint8: see `outputs`.
        size: (height, width) of the images that the file takes; None for any.
        num_classes: Number of channels of the first output; None if the file does not say it.
        is_classifier: Whether the first output is known to be no map of scores.
        takes: The type of the input, as ONNX Runtime spells it.
        metadata: What the file says about itself; of files that `fanet export` wrote the values are JSON.

    Raises:
        UserError: onnxruntime is not installed, or the file is missing or not an ONNX model.
    """

    def __init__(self, path: str | Path) -> None:
        with needs_extra("onnx", "onnxruntime"):
            import onnxruntime

        path = Path(path)
        if not path.is_file():
            raise UserError(f"there is no file {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises errors of its own, which share no base class
            raise UserError(f"{path} is not an ONNX model that can be run ({one_line(error, 160)})") from error
        self._input = self._session.get_inputs()[0]
        self.takes: str = self._input.type
        self.takes_pixels = self.takes == "tensor(uint8)"
        sides = self._input.shape[1:3] if self.takes_pixels else self._input.shape[-2:]
        self.size = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
        output = self._session.get_outputs()[0]
        self.is_classifier = len(output.shape) not in (0, 4) or "float" not in output.type
        count = dict(enumerate(output.shape)).get(1)
        self.num_classes = count if isinstance(count, int) else None
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return all outputs of the file."""
        return [torch.from_numpy(array) for array in self._session.run(None, {self._input.name: x.numpy()})]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.outputs(x.contiguous())[0]
        except Exception as error:  # as above
            size = "x".join(map(str, x.shape[-2:]))
            raise UserError(f"ONNX Runtime cannot run the model at {size} pixels ({one_line(error, 160)})") from error


class FixedSize:
    """Runs an engine that takes images of one size: smaller ones are padded, and the output is cut again."""

    def __init__(self, engine: Callable[[torch.Tensor], torch.Tensor], size: tuple[int, int]) -> None:
        self.engine, self.size = engine, size

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Run the engine.

        Raises:
            UserError: The image is larger.
        """
        height, width = x.shape[-2:]
        missing = [side - given for side, given in zip(self.size, (height, width), strict=True)]
        if min(missing) < 0:
            raise UserError(
                f"the model takes images of {self.size[0]}x{self.size[1]} pixels, got {height}x{width}: "
                f"give --window {self.size[0]} {self.size[1]}"
            )
        return self.engine(F.pad(x, (0, missing[1], 0, missing[0])))[..., :height, :width]


def read_description(
    engine: OnnxEngine | PackagedEngine, path: str | Path, classes: Sequence[str] | None = None
) -> tuple[ClassScheme, Preprocessing]:
    """Return the classes and the preprocessing of a segmentation model in an ONNX file or a package.

    They are in the file's metadata, where `fanet export` writes them, or else in a JSON file of the same name beside
    it: `classes`, names in the order of the channels; and if need be `palette`, `ignore_index` (255) and
    `preprocessing`, with the keys of `Preprocessing` (by default ImageNet's mean and standard deviation at the image's
    own size).

    Args:
        engine: The file.
        path: Its path.
        classes: Names of the classes of a file that comes without them.

    Raises:
        UserError: Nothing says what the classes are, what is said makes no sense, or the network takes no normalised
            images or gives no scores by class.
    """
    beside = Path(path).with_suffix(".json")
    said = _description(engine, path, beside)
    if "classes" not in said and classes:
        said["classes"] = list(classes)
    if "classes" not in said:
        raise UserError(
            f"{path} does not say what its classes are: write {beside.name} beside it, such as "
            '{"classes": ["background", "bottle"]}, or export a segmentation model by `fanet export`'
        )
    try:
        palette = tuple((red, green, blue) for red, green, blue in said.get("palette", ()))
        scheme = ClassScheme(tuple(map(str, said["classes"])), palette, said.get("ignore_index", 255))
        preprocessing = Preprocessing.from_dict(said.get("preprocessing", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the description of {path} makes no sense ({one_line(error, 160)}): correct it") from error
    if isinstance(engine, OnnxEngine) and engine.takes_pixels and "proof" in engine.metadata:
        raise UserError(
            f"{path} gives labels by itself: run it with docs/examples/run_onnx.py, or export it without --end-to-end"
        )
    if engine.is_classifier or engine.takes != "tensor(float)":
        raise UserError(
            f"{path} is no segmentation network that can be run: it must take float32 images (B, C, H, W) and give "
            "scores (B, classes, h, w) as its first output; export it without argmax"
        )
    if engine.num_classes not in (None, len(scheme)):
        raise UserError(f"{path} has {engine.num_classes} outputs for {len(scheme)} classes: name as many classes")
    return scheme, preprocessing


def read_thresholds(
    engine: OnnxEngine | PackagedEngine, path: str | Path, classes: ClassScheme
) -> PurityThresholds | None:
    """Return the thresholds in the metadata of a file, those of the model that `fanet export` wrote; None without any.

    Raises:
        UserError: They make no sense.
    """
    try:
        said = json.loads(engine.metadata.get(THRESHOLDS, "null"))
        return None if said is None else PurityThresholds.from_dict(said, len(classes))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"the thresholds of {path} make no sense ({one_line(error, 160)}): export it again") from error


def _description(engine: OnnxEngine | PackagedEngine, path: str | Path, beside: Path) -> dict[str, Any]:
    """Return what the file says, and if it does not name its classes what the one beside it says.

    Raises:
        UserError: One of them is not readable, or has an unknown key.
    """
    try:
        said = {key: json.loads(engine.metadata[key]) for key in _KEYS if key in engine.metadata}
    except ValueError as error:
        raise UserError(f"the metadata of {path} is not JSON: write {beside.name} beside it") from error
    if "classes" in said or not beside.is_file():
        return said
    try:
        more = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{beside} is not readable as JSON ({one_line(error, 160)}): correct it") from error
    if not isinstance(more, dict) or (unknown := [key for key in more if key not in _KEYS]):
        what = f"the unknown key {unknown[0]!r}" if isinstance(more, dict) else "no object"
        raise UserError(f"{beside} has {what}: known are {', '.join(_KEYS)}")
    return said | more
