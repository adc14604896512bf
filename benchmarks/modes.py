"""The ways in which the benchmarks run a network, by name.

eager, compile, onnx, openvino    inference by that engine of the package; with `:bf16` after it in bfloat16; onnx and
                                  openvino with `:int8`, convolutions in 8 bits
train                             a step without an optimizer: forward and backward pass of the cross-entropy in
                                  training mode; after it, in any combination, `:bf16` (autocast), `:compile`
                                  (torch.compile) and `:checkpointing` (a block's activations are computed again in
                                  the backward pass)
"""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.scenes import scene
from fanet.segmentation import Preprocessing
from fanet.segmentation.prediction.engines import ENGINES, FILE_ENGINES, PRECISIONS, build_engine, build_file_engine
from fanet.segmentation.prediction.engines.exported import cached_onnx
from fanet.segmentation.prediction.engines.precision import has_bf16
from fanet.segmentation.prediction.engines.reduced import quantize
from fanet.segmentation.training.mixed import keep_slow_in_float32

TRAIN = "train"
INT8 = "int8"
CALIBRATION_IMAGES = 16
TRAIN_OPTIONS = ("bf16", "compile", "checkpointing")

# (B, 3, H, W) on the network's device; what comes out does not matter
Run = Callable[[torch.Tensor], Any]


def check_mode(mode: str) -> None:
    """Check the name of a mode.

    Raises:
        UserError: There is no such mode.
    """
    first, *options = mode.split(":")
    precisions = (*PRECISIONS, INT8) if first in FILE_ENGINES else PRECISIONS
    known = TRAIN_OPTIONS if first == TRAIN else precisions if first in ENGINES and len(options) < 2 else ()
    if first not in (*ENGINES, TRAIN) or not set(options) <= set(known):
        raise UserError(
            f"unknown mode {mode!r}: use {', '.join(ENGINES)}, each also with :bf16, "
            f"{' and '.join(FILE_ENGINES)} with :{INT8}, or train with any of "
            f"{', '.join(f':{option}' for option in TRAIN_OPTIONS)}"
        )


def prepare(network: nn.Module, mode: str) -> Run:
    """Return a function that runs a network in a mode that `check_mode` accepts; it may change the network.

    Raises:
        UserError: This machine or this network does not offer the mode.
    """
    first, *options = mode.split(":")
    if first == TRAIN:
        return _training(network, options)
    engine: Any = _int8(first, network) if options == [INT8] else build_engine(first, network, *options)
    return torch.inference_mode()(engine)


def _int8(engine: str, network: nn.Module) -> Run:
    """Quantise a network's ONNX file with generated scenes, and run it; what stays in floating point is bfloat16."""
    file = cached_onnx(network, for_openvino=engine == "openvino")
    path = file.with_suffix(f".{INT8}.onnx")
    if not path.is_file():
        normalise = Preprocessing()
        with atomic_path(path) as temporary:
            shutil.copyfile(file, temporary)
            quantize(temporary, (normalise(scene(0, index, size=(224, 224))[0]) for index in range(CALIBRATION_IMAGES)))
    return build_file_engine(engine, path, "bf16" if engine == "openvino" and has_bf16() else "fp32")


def _training(network: nn.Module, options: list[str]) -> Run:
    network.train()
    if "bf16" in options:
        keep_slow_in_float32(network)
    if "checkpointing" in options:
        _checkpoint(network)
    forward: Any = network
    if "compile" in options:
        # By default the ninth network of a class runs as it is, and sizes in which networks differ become variables.
        torch.compiler.config.recompile_limit = 1000
        forward = torch.compile(network, dynamic=False)

    def step(x: torch.Tensor) -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled="bf16" in options):
            output = forward(x)
        logits = output[0] if isinstance(output, tuple) else output  # segmentation models also give auxiliary logits
        target = torch.zeros(logits.shape[:1] + logits.shape[2:], dtype=torch.long, device=x.device)
        functional.cross_entropy(logits.float(), target).backward()

    return step


def _checkpoint(network: nn.Module) -> None:
    body: Any = getattr(network, "backbone", network)
    try:
        body.set_grad_checkpointing(True)
    except (AttributeError, AssertionError) as error:  # timm's models without it assert
        raise UserError("this network has no gradient checkpointing: leave :checkpointing out") from error
