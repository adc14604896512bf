"""The engine that runs a PyTorch model as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class EagerEngine:
    """Runs a `SegmentationModel` in evaluation mode: normalised (B, 3, H, W) -> logits (B, num_classes, h, w)"""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with in_evaluation_mode(self.model):
            return self.model.coarse_logits(x)


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
