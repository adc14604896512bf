"""The moving average of a network's weights."""

import torch
from timm.utils import ModelEmaV3
from torch import nn


class MovingAverage(ModelEmaV3):
    """timm's moving average of parameters and buffers, same results, in a fifth of the time on a CPU.

    timm builds both networks' `state_dict` at each step; here their parameters and buffers are looked up once, at the
    first update. They must stay the same objects from then on, as `load_state_dict` leaves them. All in float32, or in
    another type that a plain average suits: there is no stochastic rounding.

    Args:
        network: What is averaged; its copy is `module`, in evaluation mode.
        decay: Share of the average that a step leaves; less in the first steps, by timm's `use_warmup`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, decay=decay, use_warmup=True)
        self._averages: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._copies: list[torch.Tensor] = []
        self._originals: list[torch.Tensor] = []

    def apply_update_(self, model: nn.Module, decay: float) -> None:
        """Move the average towards the network; what is not of a floating-point type is copied."""
        if not self._averages:
            networks = (self.module, model)
            averages, values = (network.state_dict(keep_vars=True).values() for network in networks)
            for average, value in zip(averages, values, strict=True):
                is_float = average.is_floating_point()
                (self._averages if is_float else self._copies).append(average)
                (self._values if is_float else self._originals).append(value)
        torch._foreach_lerp_(self._averages, self._values, weight=1 - decay)
        for copy, original in zip(self._copies, self._originals, strict=True):
            copy.copy_(original)
