"""The base class of objectives."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import nn

from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.training.losses import SegmentationLoss

NETWORK = "network."


class Objective(nn.Module):
    """Runs the network on a batch and returns the loss: what training differentiates, and what DDP wraps.

    A subclass may have losses, parameters and buffers of its own, a second network for instance. Parameters are
    trained with the network's optimizer settings, and all of its own state is kept in checkpoints. Where several
    processes train, DDP gives the first one's buffers to the others before each step. Its constructor may also take
    `iterations`, the steps of the run, and any key of the recipe's section `objective`, by name.

    Args:
        network: The model to train.
        loss: The loss of labelled images.

    Attributes:
        parts: What the last loss is the sum of, detached scalars by name; they become columns of the log.
    """

    #: Whether every step also needs images without labels, from `data.unlabelled_split`.
    needs_unlabelled: ClassVar[bool] = False

    network: SegmentationModel

    def __init__(self, network: SegmentationModel, loss: SegmentationLoss) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.parts: dict[str, torch.Tensor] = {}

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss of a micro-batch, a scalar.

        Args:
            images: (B, 3, H, W), normalised.
            labels: (B, H, W) int64.
            unlabelled: (B, 3, H, W), further images, if the objective needs them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(images, labels, unlabelled)")

    def sum_of(self, **parts: torch.Tensor) -> torch.Tensor:
        """Return the sum of the parts of a loss, and note them."""
        self.parts = {name: part.detach() for name, part in parts.items()}
        return torch.stack(list(parts.values())).sum()

    def after_step(self, iteration: int) -> None:
        """Hook after optimizer step number `iteration`, counted from 1; does nothing by default."""

    def own_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the trained parameters that are not the network's."""
        return (
            parameter
            for name, parameter in self.named_parameters()
            if not name.startswith(NETWORK) and parameter.requires_grad
        )

    def own_state(self) -> dict[str, torch.Tensor]:
        """Return what a checkpoint must hold besides the network's weights."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(NETWORK)}

    def load_own_state(self, state: dict[str, torch.Tensor]) -> None:
        """Load what `own_state` returned."""
        network = {f"{NETWORK}{name}": value for name, value in self.network.state_dict().items()}
        self.load_state_dict({**network, **state})
