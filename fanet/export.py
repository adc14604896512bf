"""Export networks to ONNX, and run the file in ONNX Runtime before it gets its name.

Exporters succeed on networks that runtimes then compute differently, most often at another size than the exported one.
So a file is written only if ONNX Runtime computes what PyTorch does, at every size of `SIZES`.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from fanet import __version__
from fanet.backbone.spelled import spell_out
from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.segmentation import SegmentationModel
from fanet.segmentation.data import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.prediction.engines.exported import (
    LARGEST_SIDE,
    SIZES,
    TOLERANCE,
    compare_onnx,
    in_channels,
    write_onnx,
)
from fanet.segmentation.prediction.engines.onnx import OnnxEngine
from fanet.segmentation.prediction.engines.precision import EXPORT_PRECISIONS
from fanet.segmentation.prediction.engines.reduced import TOLERANCE_FP16, quantize, to_float16
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.windows import SMALLEST_WINDOW


def export_onnx(
    net: nn.Module,
    path: str | Path,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    images: Iterable[torch.Tensor] = (),
) -> float:
    """Write a network as ONNX: normalised images `image` (B, in_chans, H, W) float32 -> its outputs.

    A segmentation model gives `logits` (B, num_classes, H, W), a classifier `logits` (B, num_classes), a backbone that
    was built with `features_only` one output a map. Metadata of the file, JSON under the keys `classes`, `palette`,
    `ignore_index` and `preprocessing` for a segmentation model, `pretrained_cfg` for timm's, say how to use it.

    Args:
        net: The network; it is exported in evaluation mode.
        path: The file, with the suffix `.onnx`.
        size: Height and width of the images; by default the file takes images of any size. The batch is free.
        precision: `fp32`; `fp16`, weights and maps in float16; or `int8`, convolutions in 8 bits.
        images: For `int8`: some thirty normalised images (1, in_chans, H, W) of the kind that the network will see.

    Returns:
        The largest deviation of ONNX Runtime from PyTorch at the sizes that were tried, relative to the largest output;
        of an `int8` file, before its convolutions were quantised.

    Raises:
        UserError: A package is missing, the network cannot be exported, or ONNX Runtime computes something else.
    """
    if precision not in EXPORT_PRECISIONS:
        raise UserError(f"unknown precision {precision!r}: choose one of {', '.join(EXPORT_PRECISIONS)}")
    if Path(path).suffix.lower() != ".onnx":
        raise UserError(f"the file must end with .onnx, got {path}")
    if size is not None:
        _check_size(net, size)
    sizes = SIZES if size is None else (size,)
    metadata = {key: json.dumps(value) for key, value in _metadata(net).items()}
    names = ["logits"] if _has_logits(net) else None
    with atomic_path(path) as temporary:
        exported = spell_out(net) if precision == "int8" else net  # 8-bit kernels are OpenVINO's strength
        write_onnx(exported, temporary, sizes[0], size is None, names, metadata)
        if precision == "fp16":
            to_float16(temporary)
        deviation = compare_onnx(net, temporary, sizes, TOLERANCE_FP16 if precision == "fp16" else TOLERANCE)
        if precision == "int8":
            quantize(temporary, images if size is None else (_fitted(image, size) for image in images))
            OnnxEngine(temporary)(torch.zeros(1, in_channels(net), *sizes[0]))  # refuses a file that does not run
        return deviation


def compare_scores(
    predictors: Sequence[Predictor], dataset: SegmentationDataset, indices: Sequence[int]
) -> list[float]:
    """Return the mIoU (%) of each predictor on some images of a data set.

    Raises:
        UserError: A sample cannot be read or has no labels, or fewer than two classes are labelled.
    """
    counts = [ConfusionMatrix(len(dataset.classes), dataset.classes.ignore_index) for _ in predictors]
    for index in indices:
        sample = dataset[index]
        if sample.labels is None:
            raise UserError(f"{sample.name} has no labels to compare a prediction with")
        for count, predictor in zip(counts, predictors, strict=True):
            count.update(predictor.labels(sample.image), sample.labels)
    scores = [count.to_dict(dataset.classes.names)["miou"] for count in counts]
    if None in scores:
        raise UserError("fewer than two classes are labelled in the images to compare with: choose another split")
    return scores


def _fitted(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut an image from the top left, or pad it, to a size."""
    image = image[..., : size[0], : size[1]]
    return F.pad(image, (0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]))


def _check_size(net: nn.Module, size: tuple[int, int]) -> None:
    # the file of a segmentation model is run in windows of its size
    smallest = SMALLEST_WINDOW if isinstance(net, SegmentationModel) else 1
    if min(size) < smallest or max(size) > LARGEST_SIDE:
        raise UserError(f"the sides must be {smallest} to {LARGEST_SIDE} pixels, got {size[0]}x{size[1]}")


def _metadata(net: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {"fanet": __version__}
    if isinstance(net, SegmentationModel):
        return found | {
            "classes": list(net.classes.names),
            "palette": [list(colour) for colour in net.classes.palette],
            "ignore_index": net.classes.ignore_index,
            "preprocessing": net.preprocessing.to_dict(),
        }
    cfg: Any = getattr(net, "pretrained_cfg", None) or {}
    keys = ("architecture", "input_size", "interpolation", "crop_pct", "mean", "std", "num_classes")
    return found | {"pretrained_cfg": {key: cfg[key] for key in keys if key in cfg}}


def _has_logits(net: nn.Module) -> bool:
    """Return whether the output is one tensor of scores; the maps of a backbone have none."""
    return isinstance(net, SegmentationModel) or hasattr(net, "num_classes")
