"""Export networks to ONNX, and run the file in ONNX Runtime before it gets its name.

Exporters succeed on networks that runtimes then compute differently, most often at another size than the exported one.
So a file is written only if ONNX Runtime computes what PyTorch does, at every size of `SIZES`, and its proof holds.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from fanet.backbone.spelled import spell_out
from fanet.errors import UserError
from fanet.export.check import engine_of, run_of
from fanet.export.description import add_metadata, describe, encoded, has_logits, preprocessing_of
from fanet.export.digest import seal
from fanet.export.end_to_end import include_preprocessing
from fanet.export.proof import check_proof, make_proof, reference
from fanet.files import atomic_path
from fanet.segmentation import SegmentationModel
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
from fanet.segmentation.prediction.engines.reduced import TOLERANCE_FP16, TOLERANCE_INT8, quantize, to_float16
from fanet.segmentation.prediction.thresholds import THRESHOLDS
from fanet.segmentation.prediction.windows import SMALLEST_WINDOW

_TOLERANCES = {"fp32": TOLERANCE, "fp16": TOLERANCE_FP16, "int8": TOLERANCE_INT8}


def export_onnx(
    net: nn.Module,
    path: str | Path,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    images: Iterable[torch.Tensor] = (),
    end_to_end: bool = False,
) -> float:
    """Write a network as ONNX: normalised images `image` (B, in_chans, H, W) float32 -> its outputs.

    A segmentation model gives `logits` (B, num_classes, H, W), a classifier `logits` (B, num_classes), a backbone that
    was built with `features_only` one output a map. With `end_to_end` a segmentation model takes `pixels` (B, H, W,
    in_chans) uint8, of any size, and gives `labels` (B, H, W) uint8 and `scores`, its logits at the size of the image.

    Metadata of the file, JSON under the keys `classes`, `palette`, `ignore_index`, `preprocessing`, and `thresholds` if
    `fanet calibrate` found some, for a segmentation model, `pretrained_cfg` for timm's, say how to use it. Files with
    logits also carry a `proof`: images with the labels and logits that they must give, without thresholds. A `digest`
    of all that ends the file. `check_file` checks both.

    Args:
        net: The network; it is exported in evaluation mode.
        path: The file, with the suffix `.onnx`.
        size: Height and width of the images; by default the file takes images of any size. The batch is free.
        precision: `fp32`; `fp16`, weights and maps in float16; or `int8`, convolutions in 8 bits.
        images: For `int8`: some thirty normalised images (1, in_chans, H, W) of the kind that the network will see.
        end_to_end: Put the preprocessing into the graph, and the way from logits to labels.

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
    if end_to_end and not isinstance(net, SegmentationModel):
        raise UserError("only segmentation models have label maps: leave --end-to-end out")
    if size is not None:
        check_size(net, size)
    network_size = size
    if size is not None and end_to_end:
        network_size = [size, *preprocessing_of(describe(net)).sizes(*size)][-1]
    sizes = SIZES if network_size is None else (network_size,)
    names = ["logits"] if has_logits(net) else None
    with atomic_path(path) as temporary:
        exported = spell_out(net) if precision == "int8" else net  # 8-bit kernels are OpenVINO's strength
        description = describe(net)
        if precision == "int8":
            description.pop(THRESHOLDS, None)  # they are of the network before its convolutions were quantised
        write_onnx(exported, temporary, sizes[0], size is None, names, encoded(description))
        if precision == "fp16":
            to_float16(temporary)
        deviation = compare_onnx(net, temporary, sizes, TOLERANCE_FP16 if precision == "fp16" else TOLERANCE)
        if precision == "int8":
            fitted = images if network_size is None else (_fitted(image, network_size) for image in images)
            quantize(temporary, fitted)
            OnnxEngine(temporary)(torch.zeros(1, in_channels(net), *sizes[0]))  # refuses a file that does not run
        if end_to_end:
            include_preprocessing(temporary, preprocessing_of(describe(net)), size)
        if has_logits(net):
            _add_proof(net, temporary, size, precision, end_to_end)
        seal(temporary)
        return deviation


def check_size(net: nn.Module, size: tuple[int, int]) -> None:
    """Check the size of a file for one size.

    Raises:
        UserError: It is too small or too large.
    """
    # the file of a segmentation model is run in windows of its size
    smallest = SMALLEST_WINDOW if isinstance(net, SegmentationModel) else 1
    if min(size) < smallest or max(size) > LARGEST_SIDE:
        raise UserError(f"the sides must be {smallest} to {LARGEST_SIDE} pixels, got {size[0]}x{size[1]}")


def _add_proof(net: nn.Module, path: Path, size: tuple[int, int] | None, precision: str, end_to_end: bool) -> None:
    """Add what PyTorch computes; of an 8-bit file what ONNX Runtime does, as quantisation changes some labels."""
    expected, images = reference(net, size, end_to_end)
    found = run_of(engine_of(path))
    proof = make_proof(found if precision == "int8" else expected, images, _TOLERANCES[precision])
    check_proof(found, proof)
    add_metadata(path, encoded({"proof": proof}))


def _fitted(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Cut an image from the top left, or pad it, to a size."""
    image = image[..., : size[0], : size[1]]
    return F.pad(image, (0, size[1] - image.shape[-1], 0, size[0] - image.shape[-2]))
