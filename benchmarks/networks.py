"""The networks that the benchmarks build, by what is typed for them.

NAME                  a timm model with its classifier for 1000 classes
plain-norm:NAME       the same FANet computed as its authors do: `PlainLayerNorm`, and maps in plain NCHW memory
upernet:NAME          UperNet on either of these, 5 classes, as in inference: without the auxiliary head
"""

from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import nn

from fanet.backbone.blocks import ToChannelsLast
from fanet.errors import UserError
from fanet.segmentation import UperNet

UPERNET = "upernet:"
PLAIN_NORM = "plain-norm:"
NUM_CLASSES = 5  # of ZeroWaste-f


class PlainLayerNorm(nn.Module):
    """A layer norm over the channels of NCHW maps, spelled out: mean, variance, scale and shift one after the other.

    (B, C, H, W) -> (B, C, H, W)

    This is how FANet's authors (and ConvNeXt's) compute it; every step is a pass over the map. It is here to be timed
    beside the layer norm that this project uses, with which it shares parameter names and results.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_channels, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(num_channels, device=device, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight[:, None, None] + self.bias[:, None, None]


def build(spec: str, size: tuple[int, int], device: str = "cpu", **kwargs: Any) -> nn.Module:
    """The network behind `spec` in evaluation mode, with random weights, ready for pictures of (H, W) pixels.

    `kwargs` go to `timm.create_model`.

    Raises:
        UserError: timm does not know the model.
    """
    plain = spec.removeprefix(UPERNET).startswith(PLAIN_NORM)
    name = spec.removeprefix(UPERNET).removeprefix(PLAIN_NORM)
    if not timm.is_model(name.split(".")[0]):
        raise UserError(f"unknown model {name!r}; `timm.list_models()` names those that exist")
    kwargs |= size_arguments(name, size) | ({"norm_layer": PlainLayerNorm} if plain else {})
    if spec.startswith(UPERNET):
        with torch.device(device):
            network: nn.Module = UperNet(name, num_classes=NUM_CLASSES, aux_channels=0, backbone_kwargs=kwargs)
    else:
        network = timm.create_model(name, device=device, **kwargs)
    if plain:
        _keep_memory_format(network)
    return network.eval()


def _keep_memory_format(network: nn.Module) -> None:
    """Take out of FANet what would turn its maps channels-last."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ToChannelsLast):
                setattr(module, name, nn.Identity())


def size_arguments(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """What `timm.create_model` has to be told to get a model for pictures of (H, W) pixels: most take any size."""
    cfg = get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size or tuple(cfg.input_size[1:]) == size:
        return {}
    return {"img_size": size}
