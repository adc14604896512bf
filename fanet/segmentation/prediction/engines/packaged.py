"""The engine that runs a package of PyTorch's ahead-of-time compiler, AOTInductor."""

import json
from pathlib import Path
from typing import Any

import torch

from fanet.errors import UserError, one_line
from fanet.segmentation.prediction.engines.compiled import without_notices
from fanet.segmentation.prediction.engines.eager import first_output


class PackagedEngine:
    """Runs a file that `fanet.export.export_pt2` wrote: normalised (1, C, H, W) of its size -> logits

    The file is a program of this processor: load only files that you trust.

    Attributes:
        size: (height, width) of the images that the file takes.
        num_classes: None: the file does not say it.
        is_classifier: Whether the output is known to be no map of scores.
        takes: The type of the input, as ONNX Runtime spells it.
        metadata: What the file says about itself: the values are JSON.

    Raises:
        UserError: The file is missing or no package that this version of PyTorch can load.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise UserError(f"there is no file {path}")
        try:
            with without_notices():
                self._loaded: Any = torch._inductor.aoti_load_package(str(path))
            found = self._loaded.get_metadata()
            # the compiler's own entries are no JSON
            self.metadata: dict[str, str] = {k: v for k, v in found.items() if not k.startswith("AOTI_")}
            height, width = json.loads(self.metadata["size"])
        except Exception as error:  # of any type: archive, linker and PyTorch have their own
            raise UserError(f"{path} is not a package that can be run ({one_line(error, 160)})") from error
        self.size = (height, width)
        self.num_classes = None
        self.is_classifier = "pretrained_cfg" in self.metadata
        self.takes = "tensor(float)"

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) != 1 or tuple(x.shape[-2:]) != self.size:  # the code would read beyond the image
            raise UserError(
                f"the package takes one image of {self.size[0]}x{self.size[1]} pixels, got {tuple(x.shape)}"
            )
        return first_output(self._loaded(x.contiguous()))
