"""Any timm backbone as a source of feature maps: build it for images of any size, and describe its maps."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from fanet.errors import UserError, one_line

LEVELS = 4  # decoders take the last four maps of a backbone, [1/4, 1/8, 1/16, 1/32] for most

# Arguments that let models which timm builds for one size, Swins and vision transformers, take others. In this order,
# because older Swins accept the second argument without effect.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True})

# Only the model's own arguments may say where weights come from, never a config.json.
_RESERVED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "features_only")

# What `timm.create_model` takes only with `features_only=True`.
_OF_FEATURES = ("out_indices", "feature_cls")

# Words that tell errors about the size of an image from others.
_OF_SIZES = ("size", "shape", "dimension", "height", "width")


def kwargs_for_any_size(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the arguments of a backbone that timm builds for one size, so that it takes images of any size.

    Raises:
        UserError: The backbone is unknown to timm, or an argument is reserved.
    """
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise UserError(f"unknown backbone {name!r}: choose one of `timm.list_models()`")
    if reserved := [key for key in _RESERVED if key in kwargs]:
        raise UserError(
            f"backbone_kwargs must not hold {', '.join(reserved)}: use pretrained_backbone or backbone_weights instead"
        )
    if getattr(timm.get_pretrained_cfg(architecture), "fixed_input_size", False):
        for flexible in _ANY_SIZE:
            if not flexible.keys() & kwargs.keys():
                with suppress(TypeError):  # raised for an argument that the backbone does not have
                    _build(name, {**kwargs, **flexible, "features_only": True, "device": "meta"})
                    return {**kwargs, **flexible}
    return dict(kwargs)


def create_backbone(name: str, kwargs: Mapping[str, Any], pretrained: bool, weights: str | Path | None) -> nn.Module:
    """Build a timm model for its last four feature maps, or for all if it has fewer.

    Args:
        name: Name of the model in timm.
        kwargs: Further arguments of `timm.create_model`.
        pretrained: Load the published weights.
        weights: Load the weights in this file instead.

    Raises:
        UserError: The model has no feature maps, or its weights are not available.
    """
    overlay = {"pretrained_cfg_overlay": {"file": str(weights)}} if weights is not None else {}
    options = {"features_only": True, "pretrained": pretrained or weights is not None} | overlay | dict(kwargs)
    if "out_indices" not in options:
        levels = len(channels(_build(name, {**kwargs, "features_only": True, "device": "meta"})))
        options["out_indices"] = tuple(range(max(0, levels - LEVELS), levels))
    return _build(name, options)


def channels(backbone: nn.Module) -> list[int]:
    """Return the channels of each map, finest first."""
    info: Any = backbone.feature_info
    return info.channels()


def reductions(backbone: nn.Module) -> list[int]:
    """Return the stride of each map in pixels of the image, finest first."""
    info: Any = backbone.feature_info
    return info.reduction()


def size_multiple(backbone: nn.Module) -> int:
    """Return what the sides of an image must be multiples of: 1, except if timm builds the network for one size."""
    cfg: Any = getattr(backbone, "pretrained_cfg", {})
    return max(reductions(backbone)) if cfg.get("fixed_input_size") else 1


def feature_maps(backbone: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """(B, 3, H, W) -> the backbone's maps, NCHW, finest first"""
    features = backbone(x)
    if str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC"):
        features = [feature.permute(0, 3, 1, 2) for feature in features]
    return features


def layer_patterns(backbone: nn.Module, prefix: str, coarse: bool = False) -> dict[str, Any] | None:
    """Return timm's patterns that sort a backbone's parameters into layers, for names that begin with `prefix`.

    None if the feature extractor does not keep the model's parameter names.
    """
    inner = getattr(backbone, "model", None)
    if inner is None or not hasattr(inner, "group_matcher"):
        return None
    start = f"^{prefix}model.".replace(".", r"\.")

    def prefixed(patterns: Any) -> Any:
        if isinstance(patterns, str):
            return patterns.replace("^", start, 1)
        return [(prefixed(pattern), place) for pattern, place in patterns]

    return {group: prefixed(patterns) for group, patterns in inner.group_matcher(coarse=coarse).items()}


def parameters_without_decay(backbone: nn.Module, name: str, kwargs: Mapping[str, Any]) -> set[str]:
    """Return the names of parameters that timm excludes from weight decay: position embeddings, class tokens.

    Args:
        backbone: As `create_backbone` built it.
        name: Name of the model in timm.
        kwargs: The arguments that it was built with.
    """
    whole = getattr(backbone, "model", None)
    if whole is None:  # this feature extractor keeps only parts of the model, and replaces some dots in names
        options = {key: value for key, value in kwargs.items() if key not in _OF_FEATURES}
        whole = _build(name, options | {"device": "meta"})
    patterns = [pattern.replace(".", "_") for pattern in getattr(whole, "no_weight_decay", set)()]
    names = [name for name, _ in backbone.named_parameters()]
    bare = [name.removeprefix("model.").replace(".", "_") for name in names]
    return {
        name for name, flat in zip(names, bare, strict=True) if any(fnmatchcase(flat, pattern) for pattern in patterns)
    }


@contextmanager
def naming_refused_sizes(name: str, multiple: int) -> Iterator[None]:
    """Turn a backbone's error about the size of its input into one clear line, within the block.

    Args:
        name: Name of the backbone, for the message.
        multiple: As `size_multiple` returns it.

    Raises:
        UserError: The backbone takes no images of this size.
    """
    try:
        yield
    except (AssertionError, RuntimeError) as error:  # timm asserts; Hiera and others fail in torch
        about_size = any(word in str(error) for word in _OF_SIZES)
        if not about_size or (multiple == 1 and isinstance(error, RuntimeError)):
            raise
        raise UserError(f"{name} takes no images of this size: {one_line(error)}") from error


def _build(name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, **options)
    except UserError:
        raise
    except (AssertionError, AttributeError, RuntimeError) as error:
        raise UserError(f"the backbone {name!r} cannot be built for feature maps: {one_line(error)}") from error
