"""Networks as ONNX: the export itself, and files kept for engines that run them."""

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanet.backbone.spelled import spell_out
from fanet.errors import UserError, needs_extra, one_line
from fanet.files import atomic_path
from fanet.segmentation.prediction.engines.cache import cache_folder, digest
from fanet.segmentation.prediction.engines.eager import in_evaluation_mode
from fanet.segmentation.prediction.engines.onnx import OnnxEngine

#: Heights and widths at which a file for any size is checked; the first one is exported.
SIZES = ((256, 256), (224, 224), (128, 192), (360, 640), (75, 101), (481, 97), (64, 511), (33, 65))
#: Largest deviation from PyTorch, relative to the largest output.
TOLERANCE = 1e-4
LARGEST_SIDE = 1 << 15


@torch.inference_mode(False)  # exporters refuse tensors that were made in it
@torch.no_grad()
def cached_onnx(network: nn.Module, for_openvino: bool = False) -> Path:
    """Return an ONNX file of a network for images of any size; it is exported and checked if the cache lacks it.

    For OpenVINO layer norms are spelled out, which is up to a quarter faster there and a little slower elsewhere.

    Raises:
        UserError: A package is missing, or the network cannot be exported.
    """
    with needs_extra("openvino" if for_openvino else "onnx", "onnx", "onnxscript"):
        import onnx
        import onnxscript

    name = digest(network, torch.__version__, onnx.__version__, onnxscript.__version__, for_openvino)
    path = cache_folder() / f"{name}.onnx"
    if path.is_file():
        return path
    print("note: exporting the model, about half a minute; the next start is quick", file=sys.stderr)
    try:
        with atomic_path(path) as temporary:
            write_onnx(spell_out(network) if for_openvino else network, temporary, SIZES[0], is_dynamic=True)
            compare_onnx(network, temporary, SIZES)
    except UserError as error:
        raise UserError(f"the model cannot be run from an ONNX file: choose eager or compile ({error})") from error
    return path


@torch.inference_mode(False)
@torch.no_grad()
def write_onnx(
    network: nn.Module,
    path: Path,
    size: tuple[int, int],
    is_dynamic: bool,
    output_names: Sequence[str] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Write a network in evaluation mode as ONNX: `image` (B, C, H, W) float32 -> its outputs.

    Args:
        network: The network, on the CPU.
        path: The file.
        size: Height and width for which it is exported.
        is_dynamic: Whether the file takes other sizes, too; the batch is always free.
        output_names: Names of the outputs.
        metadata: Keys and values to store in the file.

    Raises:
        UserError: A package is missing, or the network cannot be exported.
    """
    with needs_extra("onnx", "onnx", "onnxscript", "onnxruntime"):
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401

    shape: dict[int, Any] = {0: torch.export.Dim("batch")}
    if is_dynamic:
        shape |= {2: torch.export.Dim("height", max=LARGEST_SIDE), 3: torch.export.Dim("width", max=LARGEST_SIDE)}
    try:
        image = torch.zeros(2, in_channels(network), *size)  # a batch of one would be taken for a constant
        with quiet(), in_evaluation_mode(network):
            program: Any = torch.onnx.export(
                network,
                (image,),
                input_names=["image"],
                output_names=output_names,
                dynamo=True,
                dynamic_shapes=(shape,),
            )
    except Exception as error:  # exporters raise whatever the part of the network that they do not know leads to
        cure = "give the size that it takes, --size H W" if is_dynamic else "it needs operations that ONNX lacks"
        raise UserError(f"{type(network).__name__} cannot be exported ({one_line(error, 160)}): {cure}") from error
    model = program.model_proto
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


@torch.inference_mode()
def compare_onnx(
    network: nn.Module, path: Path, sizes: Sequence[tuple[int, int]], tolerance: float = TOLERANCE
) -> float:
    """Run a file beside its network, and return the largest deviation, relative to the largest output.

    Raises:
        UserError: They differ by more than `tolerance`, or the file does not run.
    """
    engine = OnnxEngine(path)
    rng = torch.Generator().manual_seed(0)
    worst = 0.0
    for number, size in enumerate(sizes):
        image = torch.randn(1 + number % 2, in_channels(network), *size, generator=rng)
        with in_evaluation_mode(network):
            expected = network(image)
        expected = expected if isinstance(expected, list | tuple) else [expected]
        called = f"at {size[0]}x{size[1]} pixels ONNX Runtime"
        try:
            found = engine.outputs(image)
        except Exception as error:  # onnxruntime raises errors of its own, which share no base class
            raise UserError(f"{called} fails ({one_line(error, 160)}): export it for one size, --size H W") from error
        for ours, theirs in zip(expected, found, strict=True):
            deviation = float((ours - theirs).abs().max() / ours.abs().max()) if ours.shape == theirs.shape else 1.0
            worst = max(worst, deviation)
            if not deviation <= tolerance:
                raise UserError(f"{called} deviates by {deviation:.1e} of the largest output: nothing was written")
    return worst


def in_channels(network: nn.Module) -> int:
    """Return how many channels a network's images have: those that its first convolution takes."""
    return next(module.in_channels for module in network.modules() if isinstance(module, nn.Conv2d))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence exporters, which print their progress and warn of what does not concern the user."""
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
