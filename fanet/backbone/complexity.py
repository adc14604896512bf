"""What a network costs, counted on the meta device: nothing is allocated or computed.

A multiply-accumulate (MAC) is a multiplication and the addition after it; 1 MAC = 2 FLOPs. Counted are convolutions,
linear layers and matrix products. Norms, activations, sums, products of maps, pooling and resizing are not: they take a
few operations a value, where a convolution takes hundreds or thousands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models import PretrainedCfg, get_pretrained_cfg
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ZOO_SIZES = (224, 512)  # sides of the square images in the table of variants


@dataclass(frozen=True)
class Variant:
    """A registered FANet: its build and what it costs.

    Attributes:
        name: its name in timm.
        depths: blocks in each stage.
        dims: channels of each stage.
        params: number of parameters, the classifier for 1000 classes included.
        macs: multiply-accumulates for one image of each size asked for.
        weights: the Hub repository of its weights, None where there are none.
    """

    name: str
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    params: int
    macs: tuple[int, ...]
    weights: str | None


def count_parameters(model: nn.Module) -> int:
    """The number of values that training changes."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(model: nn.Module, size: tuple[int, int]) -> int:
    """The multiply-accumulates of one forward pass.

    Args:
        model: takes (1, 3, H, W), in evaluation mode; quick when it is on the meta device.
        size: (H, W).
    """
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, *size, device=device))
    return counter.get_total_flops() // 2


def variants(sizes: Sequence[int] = ZOO_SIZES) -> list[Variant]:
    """All registered variants but the one for tests, the largest first; `sizes` are the sides of square images."""
    found = [_variant(name, sizes) for name in timm.list_models("fanet_*", module="fanet")]
    return sorted(found, key=lambda variant: variant.params, reverse=True)


def _variant(name: str, sizes: Sequence[int]) -> Variant:
    model: Any = timm.create_model(name, num_classes=1000, device="meta").eval()
    cfg = get_pretrained_cfg(name)
    return Variant(
        name=name,
        depths=tuple(len(stage.blocks) for stage in model.stages),
        dims=tuple(info["num_chs"] for info in model.feature_info),
        params=count_parameters(model),
        macs=tuple(count_macs(model, (side, side)) for side in sizes),
        weights=_place_of_weights(name, cfg) if cfg else None,
    )


def _place_of_weights(name: str, cfg: PretrainedCfg) -> str | None:
    """Return the Hub repository, or timm's name of weights that are inside the package."""
    return f"{name}.{cfg.tag}" if cfg.file else cfg.hf_hub_id
