"""The engine that runs an ONNX file with ONNX Runtime (extra `onnx`)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from fanet.classes import ClassScheme
from fanet.errors import UserError, needs_extra, one_line
from fanet.segmentation.preprocessing import Preprocessing


class OnnxEngine:
    """Runs a file that `fanet.export.export_onnx` wrote: normalised (B, C, H, W) -> logits (B, num_classes, h, w)

    Attributes:
        size: (height, width) of the images that the file takes; None for any.
        num_classes: Number of channels of the first output; None if the file does not say it.
        metadata: What the file says about itself: the values are JSON.

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
        sides = self._input.shape[-2:]
        self.size = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
        count = dict(enumerate(self._session.get_outputs()[0].shape)).get(1)
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


def read_description(engine: OnnxEngine, path: str | Path) -> tuple[ClassScheme, Preprocessing]:
    """Return the classes and the preprocessing of a segmentation model in an ONNX file.

    Raises:
        UserError: The file does not have them.
    """
    try:
        keys = ("classes", "palette", "ignore_index", "preprocessing")
        said = {key: json.loads(engine.metadata[key]) for key in keys}
        palette = tuple((red, green, blue) for red, green, blue in said["palette"])
        classes = ClassScheme(tuple(said["classes"]), palette, said["ignore_index"])
        preprocessing = Preprocessing.from_dict(said["preprocessing"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} does not say what its classes are: export a segmentation model by `fanet export`"
        ) from error
    if engine.num_classes not in (None, len(classes)):
        raise UserError(f"{path} has {engine.num_classes} outputs for {len(classes)} classes: export the model again")
    return classes, preprocessing
