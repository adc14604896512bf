"""Export networks to ONNX, and run the file in ONNX Runtime before it gets its name.

Exporters succeed on networks that runtimes then compute differently, most often at another size than the exported one.
So a file is written only if ONNX Runtime computes what PyTorch does, at every size of `SIZES`.
"""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanet import __version__
from fanet.errors import UserError, needs_extra, one_line
from fanet.files import atomic_path
from fanet.segmentation import SegmentationModel
from fanet.segmentation.prediction.engines.onnx import OnnxEngine
from fanet.segmentation.prediction.windows import SMALLEST_WINDOW

#: Heights and widths at which a file for any size is checked; the first one is exported.
SIZES = ((256, 256), (224, 224), (128, 192), (360, 640), (75, 101), (481, 97), (64, 511), (33, 65))
#: Largest deviation from PyTorch, relative to the largest output.
TOLERANCE = 1e-4
LARGEST_SIDE = 1 << 15


def export_onnx(net: nn.Module, path: str | Path, size: tuple[int, int] | None = None) -> float:
    """Write a network as ONNX: normalised images `image` (B, in_chans, H, W) float32 -> its outputs.

    A segmentation model gives `logits` (B, num_classes, H, W), a classifier `logits` (B, num_classes), a backbone that
    was built with `features_only` one output a map. Metadata of the file, JSON under the keys `classes`, `palette`,
    `ignore_index` and `preprocessing` for a segmentation model, `pretrained_cfg` for timm's, say how to use it.

    Args:
        net: The network; it is exported in evaluation mode.
        path: The file, with the suffix `.onnx`.
        size: Height and width of the images; by default the file takes images of any size. The batch is free.

    Returns:
        The largest deviation of ONNX Runtime from PyTorch at the sizes that were tried, relative to the largest output.

    Raises:
        UserError: A package is missing, the network cannot be exported, or ONNX Runtime computes something else.
    """
    with needs_extra("onnx", "onnx", "onnxscript", "onnxruntime"):
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401

    if Path(path).suffix.lower() != ".onnx":
        raise UserError(f"the file must end with .onnx, got {path}")
    if size is not None:
        _check_size(net, size)
    sizes = SIZES if size is None else (size,)
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        with atomic_path(path) as temporary:
            program = _export(net, sizes[0], size is None)
            model = program.model_proto
            for key, value in _metadata(net).items():
                model.metadata_props.add(key=key, value=json.dumps(value))
            onnx.save(model, str(temporary))
            return _compare(net, temporary, sizes)
    finally:
        for module in training:
            module.training = True


def _check_size(net: nn.Module, size: tuple[int, int]) -> None:
    # the file of a segmentation model is run in windows of its size
    smallest = SMALLEST_WINDOW if isinstance(net, SegmentationModel) else 1
    if min(size) < smallest or max(size) > LARGEST_SIDE:
        raise UserError(f"the sides must be {smallest} to {LARGEST_SIDE} pixels, got {size[0]}x{size[1]}")


def _export(net: nn.Module, size: tuple[int, int], is_dynamic: bool) -> Any:
    shape: dict[int, Any] = {0: torch.export.Dim("batch")}
    if is_dynamic:
        shape |= {2: torch.export.Dim("height", max=LARGEST_SIDE), 3: torch.export.Dim("width", max=LARGEST_SIDE)}
    try:
        image = torch.zeros(2, _channels(net), *size)  # a batch of one would be taken for a constant
        with _quiet(), torch.no_grad():
            return torch.onnx.export(
                net,
                (image,),
                input_names=["image"],
                output_names=["logits"] if _has_logits(net) else None,
                dynamo=True,
                dynamic_shapes=(shape,),
            )
    except Exception as error:  # exporters raise whatever the part of the network that they do not know leads to
        cure = "give the size that it takes, --size H W" if is_dynamic else "it needs operations that ONNX lacks"
        raise UserError(f"{type(net).__name__} cannot be exported ({one_line(error, 160)}): {cure}") from error


@torch.inference_mode()
def _compare(net: nn.Module, path: Path, sizes: Sequence[tuple[int, int]]) -> float:
    """Run the file beside the network.

    Raises:
        UserError: They differ, or the file does not run.
    """
    engine = OnnxEngine(path)
    rng = torch.Generator().manual_seed(0)
    worst = 0.0
    for number, size in enumerate(sizes):
        image = torch.randn(1 + number % 2, _channels(net), *size, generator=rng)
        expected = net(image)
        expected = expected if isinstance(expected, list | tuple) else [expected]
        called = f"at {size[0]}x{size[1]} pixels ONNX Runtime"
        try:
            found = engine.outputs(image)
        except Exception as error:  # onnxruntime raises errors of its own, which share no base class
            raise UserError(f"{called} fails ({one_line(error, 160)}): export it for one size, --size H W") from error
        for ours, theirs in zip(expected, found, strict=True):
            deviation = float((ours - theirs).abs().max() / ours.abs().max()) if ours.shape == theirs.shape else 1.0
            worst = max(worst, deviation)
            if not deviation <= TOLERANCE:
                raise UserError(f"{called} deviates by {deviation:.1e} of the largest output: nothing was written")
    return worst


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


def _channels(net: nn.Module) -> int:
    if isinstance(net, SegmentationModel):
        return net.in_chans
    return next(module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which prints its progress and warns of what does not concern the user."""
    root = logging.getLogger()
    level = root.level
    silence = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        warnings.simplefilter("ignore")
        root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.setLevel(level)
