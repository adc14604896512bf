"""The authors' parameter names and ours, and what checkpoint files wrap around them.

Every function here is pure: it takes a mapping and returns a new one. Names of this project pass through unchanged, so
each of them may be applied twice.
"""

import logging
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor

from fanet.weights.failures import WeightsError

_logger = logging.getLogger(__name__)

# Train scripts nest the tensors under one of these: timm's, MMSegmentation's, this project's ("ema", "model").
# Averaged weights come first, as in timm.
CONTAINERS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model")
MAX_NESTING = 4  # a file may claim to contain itself

# What DistributedDataParallel, torch.compile and FSDP put before every name.
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.")

# Where the names of a network begin, whatever a trainer puts before them: Lightning's modules `model.` or `net.`.
_ROOTS = re.compile(r"(?:^|(?<=\.))(?:backbone|decode_head|auxiliary_head|stem|downsample_layers)\.")
_COUNTER = "n_averaged"  # of torch.optim.swa_utils.AveragedModel, beside the weights

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
    (r"stages\.(\d+)\.(\d+)\.attn\.proj2\.",        r"stages.\1.blocks.\2.afe.proj."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.fc1\.",           r"stages.\1.blocks.\2.mlp.fc1."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.pos\.",           r"stages.\1.blocks.\2.mlp.conv."),
    (r"stages\.(\d+)\.(\d+)\.mlp\.fc2\.",           r"stages.\1.blocks.\2.mlp.fc2."),
    (r"norm\.",                                     r"head.norm."),
    (r"head\.(?=weight$|bias$)",                    r"head.fc."),
)  # fmt: skip
_TABLE = tuple((re.compile(pattern), native) for pattern, native in _PATTERNS)

# earlier name in this project                      name today
_EARLIER = (
    (re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.afe\.fuse\."), r"stages.\1.blocks.\2.afe.proj."),
)  # fmt: skip

# `norm` and `head` may also be layers that a user has put into one of our networks, so single names tell nothing:
# all of these must occur in the authors' layout, and none of ours.
_AUTHORS = tuple(
    map(re.compile, (r"downsample_layers\.[0-3]\.", r"stages\.\d+\.\d+\.attn\.", r"stages\.\d+\.\d+\.mlp\."))
)
_STEM = re.compile(r"(stem|downsample_layers\.0)\.")
_OURS = re.compile(r"stem\.|stages\.\d+\.(blocks|downsample)\.")


def is_authors_layout(names: Collection[str]) -> bool:
    """Whether bare names of a backbone are, as a whole, those of the authors' layout."""
    return all(any(map(pattern.match, names)) for pattern in _AUTHORS) and not any(map(_OURS.match, names))


def native_name(name: str, authors: bool = True) -> str:
    """The name in this project of a backbone parameter; a name that needs no translation comes back unchanged.

    Args:
        name: Bare name, of today or of earlier files of this project.
        authors: Whether it is out of a file in the authors' layout: `is_authors_layout` of all its names.
    """
    for pattern, native in _TABLE if authors else _EARLIER:
        if match := pattern.match(name):
            return match.expand(native) + name[match.end() :]
    return name


def bare_name(name: str) -> str:
    """A name freed of what training wrappers put in front of it."""
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def raw_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names in the file, freed of containers.

    Averaged (EMA) weights are preferred where a file holds both.
    """
    inner = checkpoint
    for _ in range(MAX_NESTING):
        containers = [inner[name] for name in CONTAINERS if isinstance(inner.get(name), Mapping)]
        if not containers:
            break
        inner = containers[0]
    return {name: value for name, value in inner.items() if isinstance(name, str) and isinstance(value, Tensor)}


def bare_names(names: Iterable[str]) -> dict[str, str]:
    """Name in a file -> name freed of what training wrappers and trainers put before it.

    What is left out beside a network inside a trainer's module (weights of a loss, metrics) is logged.

    Raises:
        WeightsError: several networks are in the file.
    """
    bare = {name: bare_name(name) for name in names if name != _COUNTER}
    prefixes = {name[: match.start()] for name in bare.values() if (match := _ROOTS.search(name))}
    if len(prefixes) > 1 and "" not in prefixes:
        raise WeightsError(
            f"it holds several networks ({', '.join(sorted(prefixes))}): save the tensors of one, without the prefix"
        )
    prefix = next(iter(prefixes), "") if len(prefixes) == 1 else ""
    if left_out := [name for name in bare.values() if not name.startswith(prefix)]:
        _logger.warning("Left out beside the network %s: %s", prefix, ", ".join(left_out))
    return {name: inner.removeprefix(prefix) for name, inner in bare.items() if inner.startswith(prefix)}


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint by bare name.

    Raises:
        WeightsError: several networks are in it.
    """
    tensors = raw_tensors(checkpoint)
    return {bare: tensors[name] for name, bare in bare_names(tensors).items()}


def holds_backbone(names: Collection[str]) -> bool:
    """Whether bare names are those of a model around a backbone, not of a backbone with a layer called `backbone`."""
    return any(name.startswith("backbone.") for name in names) and not any(map(_STEM.match, names))


def backbone_names(names: Iterable[str]) -> dict[str, str]:
    """Bare name -> name in this project, for those that belong to the backbone.

    Of a segmentation model's names, those that do not start with `backbone.` are left out.
    """
    names = list(names)
    inner = {name: name for name in names}
    if holds_backbone(names):
        # This project's segmentation models hold timm's feature wrapper, which calls the network `model`.
        inside = (name for name in names if name.startswith("backbone."))
        inner = {name: name.removeprefix("backbone.").removeprefix("model.") for name in inside}
    authors = is_authors_layout(inner.values())
    return {name: native_name(bare, authors) for name, bare in inner.items()}


def backbone_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """A FANet backbone's tensors in this project's names, out of any checkpoint layout.

    Takes a classifier of the authors or of this project, plain or inside a training checkpoint, and a segmentation
    model of MMSegmentation or of this project, of which it picks the backbone.
    """
    tensors = unwrap(checkpoint)
    return {native: tensors[name] for name, native in backbone_names(tensors).items()}
