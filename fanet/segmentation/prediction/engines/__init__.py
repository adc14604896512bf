"""Engines that run a network for a predictor, one file each.

An engine is a callable from normalised images, (B, C, H, W) float32, to the network's first output. `build_engine`
builds one by name; `auto.py` chooses the fastest that gives the same labels.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from fanet.errors import UserError
from fanet.segmentation.prediction.engines.auto import AutoEngine, Candidate
from fanet.segmentation.prediction.engines.compiled import CompiledEngine, compiled_path
from fanet.segmentation.prediction.engines.eager import EagerEngine
from fanet.segmentation.prediction.engines.exported import cached_onnx
from fanet.segmentation.prediction.engines.onnx import OnnxEngine
from fanet.segmentation.prediction.engines.openvino import OpenVinoEngine
from fanet.segmentation.prediction.engines.precision import PRECISIONS, check_precision, has_bf16

ENGINES = ("eager", "compile", "onnx", "openvino")
#: The engines that run a file which `fanet export` wrote.
FILE_ENGINES = ("onnx", "openvino")
#: Chooses an engine.
AUTO = "auto"

__all__ = [
    "AUTO",
    "ENGINES",
    "FILE_ENGINES",
    "PRECISIONS",
    "auto_engine",
    "build_engine",
    "build_file_engine",
    "candidates",
]


def build_engine(name: str, network: nn.Module, precision: str = "fp32") -> Callable[[torch.Tensor], torch.Tensor]:
    """Build an engine that runs a network on the CPU; `eager` runs it on the network's device.

    Args:
        name: `eager`, PyTorch as it is; `compile`, PyTorch's ahead-of-time compiler; `onnx`, ONNX Runtime; `openvino`.
        network: Normalised images (B, C, H, W) -> a tensor, or several of which the first counts; it is run in
            evaluation mode. What `compile`, `onnx` and `openvino` make of it is kept in `cache.cache_folder()`.
        precision: `fp32`, or `bf16` where the processor computes in it; `onnx` computes in fp32 only.

    Raises:
        UserError: There is no such engine, a package or a compiler is missing, the network cannot be exported, or an
            engine other than `eager` is asked for a network on a GPU or in half precision.
    """
    if name not in ENGINES:
        raise UserError(f"unknown engine {name!r}: choose one of {', '.join(ENGINES)}")
    check_precision(precision, next(network.parameters()).device)
    if name != "eager" and not _is_common(network):
        raise UserError(f"the engine {name} takes float32 models on the CPU: give --device cpu, or use model.float()")
    if name == "eager":
        return EagerEngine(network, precision)
    if name == "compile":
        return CompiledEngine(network, precision)
    if name == "openvino":
        return OpenVinoEngine(cached_onnx(network, for_openvino=True), precision)
    if precision != "fp32":
        raise UserError(f"the engine onnx computes in fp32 only, not in {precision}: choose openvino or compile")
    return OnnxEngine(cached_onnx(network))


def candidates(network: nn.Module, precision: str | None = None) -> list[Candidate]:
    """Return the engines and precisions in which this machine may run a network, PyTorch as it is first.

    Whether a package is missing shows when an engine is built.

    Args:
        network: As for `build_engine`.
        precision: The only one besides the first candidate's; by default any that the processor has.

    Raises:
        UserError: The processor lacks the precision.
    """
    device = next(network.parameters()).device
    if precision is not None:
        check_precision(precision, device)
    pairs = [("eager", PRECISIONS[0])]
    for name in ENGINES if _is_common(network) else ENGINES[:1]:
        for offered in PRECISIONS if has_bf16(device) else PRECISIONS[:1]:
            if precision in (None, offered) and (name, offered) not in (("eager", "fp32"), ("onnx", "bf16")):
                pairs.append((name, offered))
    return [
        Candidate(*pair, partial(build_engine, pair[0], network, pair[1]), _quick(network, *pair)) for pair in pairs
    ]


def _is_common(network: nn.Module) -> bool:
    weight = next(network.parameters())
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def _quick(network: nn.Module, name: str, precision: str) -> Callable[[tuple[int, ...]], bool]:
    if name != "compile":
        return lambda shape: True
    return lambda shape: compiled_path(network, shape, precision).is_file()


def auto_engine(network: nn.Module, precision: str | None = None) -> AutoEngine:
    """Return an engine that chooses one on its first image; `compile` takes part if it has compiled for its shape."""
    return AutoEngine(candidates(network, precision))


def build_file_engine(
    name: str | None, path: str | Path, precision: str | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Build an engine that runs an ONNX file: `onnx`, the default, `openvino` or `auto`.

    Raises:
        UserError: There is no such engine for files, a package is missing, or the file cannot be read.
    """
    check_precision(precision or "fp32")
    if name in (None, "onnx") and precision in (None, "fp32"):
        return OnnxEngine(path)
    if name == "openvino":
        return OpenVinoEngine(path, precision or "fp32")
    if name != AUTO:
        raise UserError(f"an ONNX file is run by {', '.join(FILE_ENGINES)} or {AUTO} in fp32, openvino also in bf16")
    offered = [precision] if precision else PRECISIONS if has_bf16() else PRECISIONS[:1]
    return AutoEngine(
        [Candidate("onnx", "fp32", partial(OnnxEngine, path))]
        + [Candidate("openvino", each, partial(OpenVinoEngine, path, each)) for each in offered]
    )
