"""The engine that runs a PyTorch network as it is."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fanet.segmentation.prediction.engines.precision import dtype_of


class EagerEngine:
    """Runs a network in evaluation mode, in its own type, or a copy of it in bfloat16: (B, C, H, W) -> first output"""

    def __init__(self, network: nn.Module, precision: str = "fp32") -> None:
        self._dtype = None
        if precision != "fp32":
            self._dtype = dtype_of(precision)
            network = copy.deepcopy(network).to(self._dtype).to(memory_format=torch.channels_last)
        self.network = network

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with in_evaluation_mode(self.network):
            return first_output(self.network(x if self._dtype is None else x.to(self._dtype)))


def first_output(outputs: Any) -> torch.Tensor:
    """Return the tensor that a network gives, or the first of several in a list or dictionary."""
    if isinstance(outputs, torch.Tensor):
        return outputs
    return next(iter(outputs.values() if isinstance(outputs, Mapping) else outputs))


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode within the block; afterwards every module is in its previous mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
