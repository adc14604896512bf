"""Which FANet a set of tensors belongs to."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import timm
from torch import Tensor

from fanet.weights.failures import WeightsError

_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")


def find_variant(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]]:
    """The registered model that a backbone's tensors (this project's names) belong to, and arguments for timm.

    Where the sizes are nobody's, `fanet_base` with all of them spelled out.

    Raises:
        WeightsError: these are not a FANet's tensors.
    """
    arguments = _arguments(tensors)
    in_chans = arguments.pop("in_chans")
    extra = {} if in_chans == 3 else {"in_chans": in_chans}
    for name in _variants():
        if _variant_arguments(name) == arguments:
            return name, extra
    return "fanet_base", arguments | extra


def num_classes(tensors: Mapping[str, Tensor]) -> int:
    """The number of classes of a classifier; 0 where there is no last layer."""
    weight = tensors.get("head.fc.weight")
    return 0 if weight is None else weight.shape[0]


def _variants() -> list[str]:
    # `module` means this family; the paper's model first, because most checkpoints are of it
    names = timm.list_models(module="fanet")
    return sorted(names, key=lambda name: name != "fanet_base")


@cache
def _variant_arguments(name: str) -> dict[str, Any]:
    arguments = _arguments(timm.create_model(name, device="meta").state_dict())
    arguments.pop("in_chans")
    return arguments


def _arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the constructor of FANet was given, read off names and shapes."""
    blocks = {(int(match[1]), int(match[2])) for name in tensors if (match := _BLOCK.match(name))}
    stages = sorted({stage for stage, _ in blocks})
    try:
        depths = [sum(stage == other for other, _ in blocks) for stage in stages]
        embeddings = [tensors[f"stages.{stage}.blocks.0.afe.embed.conv.weight"] for stage in stages]
        dims = [embedding.shape[0] for embedding in embeddings]
        kernel_sizes = [embedding.shape[-1] for embedding in embeddings]
        mlp_ratio = tensors["stages.0.blocks.0.mlp.fc1.weight"].shape[0] / dims[0]
        in_chans = tensors["stem.weight"].shape[1]
    except (KeyError, IndexError):
        raise WeightsError("the tensors are not those of a FANet; check the file") from None
    branches = [branch for branch in ("low", "high") if f"stages.0.blocks.0.afe.refine.{branch}.conv.weight" in tensors]
    return dict(
        in_chans=in_chans,
        depths=depths,
        dims=dims,
        kernel_sizes=kernel_sizes,
        mlp_ratio=mlp_ratio,
        scm="stages.0.blocks.0.afe.context.conv.weight" in tensors,
        frm="both" if len(branches) == 2 else next(iter(branches), "none"),
    )
