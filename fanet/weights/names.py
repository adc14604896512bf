"""The authors' parameter names and ours, and what checkpoint files wrap around them.

Every function here is pure: it takes a mapping and returns a new one. Names of this project pass through unchanged, so
each of them may be applied twice.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

# timm's train script and MMSegmentation nest the tensors under one of these; averaged weights come first, as in timm.
CONTAINERS = ("state_dict_ema", "model_ema", "state_dict", "model")

# What DistributedDataParallel and torch.compile put in front of every name.
WRAPPERS = ("module.", "_orig_mod.")

# authors' name                                     this project's name
_PATTERNS = (
    (r"downsample_layers\.0\.",                     r"stem."),
    (r"downsample_layers\.([1-3])\.",               r"stages.\1.downsample."),
    (r"stages\.(\d+)\.(\d+)\.layer_norm1\.",        r"stages.\1.blocks.\2.norm1."),
    (r"stages\.(\d+)\.(\d+)\.layer_norm2\.",        r"stages.\1.blocks.\2.norm2."),
    (r"stages\.(\d+)\.(\d+)\.attn\.dwconv\.",       r"stages.\1.blocks.\2.afe.embed.conv."),
    (r"stages\.(\d+)\.(\d+)\.attn\.norm1\.",        r"stages.\1.blocks.\2.afe.embed.norm."),
    (r"stages\.(\d+)\.(\d+)\.attn\.proj1\.",        r"stages.\1.blocks.\2.afe.squeeze.conv."),
    (r"stages\.(\d+)\.(\d+)\.attn\.norm2\.",        r"stages.\1.blocks.\2.afe.squeeze.norm."),
    (r"stages\.(\d+)\.(\d+)\.attn\.ctx_conv\.",     r"stages.\1.blocks.\2.afe.context.conv."),
    (r"stages\.(\d+)\.(\d+)\.attn\.norm3\.",        r"stages.\1.blocks.\2.afe.context.norm."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.down\.",  r"stages.\1.blocks.\2.afe.refine.down."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.lconv\.", r"stages.\1.blocks.\2.afe.refine.low.conv."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.norm1\.", r"stages.\1.blocks.\2.afe.refine.low.norm."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.hconv\.", r"stages.\1.blocks.\2.afe.refine.high.conv."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.norm2\.", r"stages.\1.blocks.\2.afe.refine.high.norm."),
    (r"stages\.(\d+)\.(\d+)\.attn\.enhance\.proj\.",  r"stages.\1.blocks.\2.afe.refine.proj."),
    (r"stages\.(\d+)\.(\d+)\.attn\.proj2\.",        r"stages.\1.blocks.\2.afe.fuse."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.fc1\.",           r"stages.\1.blocks.\2.mlp.fc1."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.pos\.",           r"stages.\1.blocks.\2.mlp.conv."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.fc2\.",           r"stages.\1.blocks.\2.mlp.fc2."),
    (r"norm\.",                                     r"head.norm."),
    (r"head\.(?=weight$|bias$)",                    r"head.fc."),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), native) for pattern, native in _PATTERNS)


def native_name(name: str) -> str:
    """The name in this project of a backbone parameter; a name that the authors do not use comes back unchanged."""
    for pattern, native in _TABLE:
        if match := pattern.match(name):
            return match.expand(native) + name[match.end() :]
    return name


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, freed of containers and of what training wrappers put before the names.

    Averaged (EMA) weights are preferred where a file holds both.
    """
    for container in CONTAINERS:
        if isinstance(inner := checkpoint.get(container), Mapping):
            return unwrap(inner)
    tensors = {}
    for name, value in checkpoint.items():
        if isinstance(value, Tensor):
            while name.startswith(WRAPPERS):
                name = name.split(".", 1)[1]
            tensors[name] = value
    return tensors


def is_segmentation(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether unwrapped names are those of a whole segmentation model, `backbone.` and `decode_head.`."""
    return any(name.startswith("decode_head.") for name in state_dict)


def backbone_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """A FANet backbone's tensors in this project's names, out of any checkpoint layout.

    Takes a classifier of the authors or of this project, plain or inside a training checkpoint, and a segmentation
    model of MMSegmentation or of this project, of which it picks the backbone.
    """
    tensors = unwrap(checkpoint)
    if is_segmentation(tensors):
        tensors = {name.removeprefix("backbone."): t for name, t in tensors.items() if name.startswith("backbone.")}
        # This project's segmentation models hold timm's feature wrapper, which calls the network `model`.
        tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    return {native_name(name): tensor for name, tensor in tensors.items()}


def segmentation_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """A FANet UperNet's tensors in this project's names, out of MMSegmentation's layout or this project's.

    The heads carry MMSegmentation's names in both.
    """
    tensors = unwrap(checkpoint)
    heads = {name: tensor for name, tensor in tensors.items() if not name.startswith("backbone.")}
    backbone = {f"backbone.model.{name}": tensor for name, tensor in backbone_state_dict(tensors).items()}
    return backbone | heads
