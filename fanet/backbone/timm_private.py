"""What we need of timm that has no public name.

- `feature_take_indices` turns the `indices` of `forward_intermediates` into stage numbers with timm's own rules and
  messages; every model in timm uses it, but only from `timm.models._features`.
- `FeatureGetterNet` is what `feature_cls="getter"` builds: it keeps the names of the parameters in feature mode, but
  has no `set_grad_checkpointing`, which those who train on features need.
"""

from typing import Any

import torch
from timm.models._features import FeatureGetterNet, feature_take_indices

__all__ = ["CheckpointingFeatureGetter", "feature_take_indices"]


class CheckpointingFeatureGetter(FeatureGetterNet):
    """timm's feature getter with gradient checkpointing; in TorchScript, too, it returns a list of maps."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        network: Any = self.model
        maps = network.forward_intermediates(
            x, indices=self.out_indices, norm=self.norm, output_fmt=self.output_fmt, intermediates_only=True
        )
        assert isinstance(maps, list)  # TorchScript needs this, as the method also returns tuples
        return maps

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Switch the recomputation of activations in the backward pass on or off."""
        network: Any = self.model
        network.set_grad_checkpointing(enable)
