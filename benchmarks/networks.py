"""The networks that the benchmarks build, by name.

NAME                  a timm model with its classifier for 1000 classes
plain-norm:NAME       the same FANet computed as its authors do: `SpelledLayerNorm`, maps in plain NCHW memory, and
                      UperNet's maps resized before they are convolved
DECODER:NAME          a segmentation model on either of these, as upernet:NAME, 5 classes, as in inference: without the
                      auxiliary head
"""

from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import nn

from fanet.backbone.blocks import ToChannelsLast
from fanet.backbone.spelled import SpelledLayerNorm
from fanet.errors import UserError
from fanet.segmentation import SegmentationModel
from fanet.segmentation.network.decoders import list_decoders

PLAIN_NORM = "plain-norm:"
NUM_CLASSES = 5  # of ZeroWaste-f


def build(spec: str, size: tuple[int, int], device: str = "cpu", **kwargs: Any) -> nn.Module:
    """Build the network that `spec` names, in evaluation mode, with random weights, for images of (H, W) pixels.

    `kwargs` go to `timm.create_model`.

    Raises:
        UserError: timm does not know the model.
    """
    first, _, rest = spec.partition(":")
    decoder, spec = (first, rest) if first in list_decoders() else (None, spec)
    plain, name = spec.startswith(PLAIN_NORM), spec.removeprefix(PLAIN_NORM)
    if not timm.is_model(name.split(".")[0]):
        raise UserError(f"unknown model {name!r}; `timm.list_models()` names those that exist")
    torch.manual_seed(0)  # engines keep what they compiled for equal weights
    kwargs |= size_arguments(name, size) | ({"norm_layer": SpelledLayerNorm} if plain else {})
    if decoder is not None:
        with torch.device(device):
            network: nn.Module = SegmentationModel(name, NUM_CLASSES, decoder, backbone_kwargs=kwargs)
    else:
        network = timm.create_model(name, device=device, **{"num_classes": 1000, **kwargs})
    if plain:
        _keep_order(network)
    return network.eval()


def _keep_order(network: nn.Module) -> None:
    """Make FANet and UperNet compute as written: no change of memory format, every convolution called once."""
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(_watch)
        for name, child in module.named_children():
            if isinstance(child, ToChannelsLast):
                setattr(module, name, nn.Identity())


def _watch(*_: Any) -> None:
    """Do nothing: a convolution with a hook is not replaced by a faster way to its result."""


def size_arguments(name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the arguments that `timm.create_model` needs for images of (H, W) pixels; most models take any size."""
    cfg = get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size or tuple(cfg.input_size[1:]) == size:
        return {}
    return {"img_size": size}
