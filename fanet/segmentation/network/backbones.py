"""Any timm backbone as a source of feature maps: build it for images of any size, and describe its maps."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import nn

from fanet.backbone import FANet
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

# What PyTorch says if a map has become smaller than a kernel or its padding. Other errors of a backbone that takes
# images of any size are bugs.
_TOO_SMALL = ("Kernel size can't be greater", "too small", "Padding size should be less")


def kwargs_for_any_size(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the arguments of a backbone that timm builds for one size, so that it takes images of any size.

    Raises:
        UserError: The backbone is unknown to timm, or an argument is reserved.
    """
    _check_arguments(name, kwargs)
    if getattr(timm.get_pretrained_cfg(name.split(".")[0]), "fixed_input_size", False):
        for flexible in _ANY_SIZE:
            if not flexible.keys() & kwargs.keys():
                with suppress(TypeError):  # raised for an argument that the backbone does not have
                    _build(name, {**kwargs, **flexible, "features_only": True, "device": "meta"})
                    return {**kwargs, **flexible}
    return dict(kwargs)


def kwargs_for_last_maps(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the arguments of a backbone whose last maps timm does not number from 0: vision transformers, DLA.

    Raises:
        UserError: The model has no feature maps.
    """
    last, numbered_from_0 = _last_maps(name, kwargs)
    return dict(kwargs) if last == numbered_from_0 else {"out_indices": last} | dict(kwargs)


def kwargs_of_file(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the arguments in a config.json that was written when maps were always numbered from 0.

    Raises:
        UserError: The model has no feature maps.
    """
    _check_arguments(name, kwargs)
    last, numbered_from_0 = _last_maps(name, kwargs)
    return dict(kwargs) if last == numbered_from_0 else {"out_indices": numbered_from_0} | dict(kwargs)


def _check_arguments(name: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse a backbone that timm does not know, and arguments that would make it read weights.

    Raises:
        UserError: It is unknown, or there are such arguments.
    """
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise UserError(f"unknown backbone {name!r}: choose one of `timm.list_models()`")
    if reserved := [key for key in _RESERVED if key in kwargs]:
        raise UserError(
            f"backbone_kwargs must not hold {', '.join(reserved)}: use pretrained_backbone or backbone_weights instead"
        )


def _last_maps(name: str, kwargs: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """The indices of the last maps that timm offers by default, and of as many if they are numbered from 0."""
    info: Any = _build(name, {**kwargs, "features_only": True, "device": "meta"}).feature_info
    levels = len(info.channels())
    return list(info.out_indices)[-LEVELS:], list(range(max(0, levels - LEVELS), levels))


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
        options["out_indices"] = _last_maps(name, kwargs)[0]
    backbone = _build(name, options)
    if not options["pretrained"]:
        _start_on_constant_regions(backbone)
    return backbone


@torch.no_grad()
def _start_on_constant_regions(backbone: nn.Module) -> None:
    """Draw the bias of the first convolution as PyTorch does if a network sets it to 0, as ConvNeXt and others do.

    From there a constant region of an image (padding is 0 after normalisation) is 0 in every channel, and the gradient
    of a layer norm over channels without variance grows by 1 / sqrt(eps), layer after layer, until it is infinite.
    """
    cfg: Any = getattr(backbone, "pretrained_cfg", {})
    first = [cfg.get("first_conv")] if isinstance(cfg.get("first_conv"), str) else cfg.get("first_conv") or []
    wanted = {name.replace(".", "_") for name in first}
    for name, module in backbone.named_modules():
        if (
            _flat(name) in wanted
            and isinstance(module, nn.Conv2d)
            and module.bias is not None
            and not module.bias.is_meta
        ):
            if not module.bias.any():
                bound = module.weight[0].numel() ** -0.5
                nn.init.uniform_(module.bias, -bound, bound)


def channels(backbone: nn.Module) -> list[int]:
    """Return the channels of each map, finest first."""
    info: Any = backbone.feature_info
    return info.channels()


def reductions(backbone: nn.Module) -> list[int]:
    """Return the stride of each map in pixels of the image, finest first."""
    info: Any = backbone.feature_info
    return info.reduction()


def size_multiple(backbone: nn.Module, name: str, kwargs: Mapping[str, Any]) -> int:
    """Return what the sides of an image must be multiples of for a backbone: 1 for those that take any size.

    Networks that timm builds for one size need what their coarsest map divides, even if they take other sizes (LeViT's
    does not divide its own size, which is taken nevertheless), and those with windows (MaxViT) a multiple of all
    windows: their own size. Of the rest, some add up maps that fit only if every halving is even (HRNet, DLA). A trial
    on the meta device, where nothing is computed, shows it; FANet takes any size, and needs none.

    Args:
        backbone: As `create_backbone` built it.
        name: Of the model in timm.
        kwargs: The arguments that it was built with.
    """
    if isinstance(getattr(backbone, "model", None), FANet):
        return 1
    coarsest = max(reductions(backbone))
    cfg: Any = getattr(backbone, "pretrained_cfg", {})
    own = max(cfg["input_size"][1:])
    first = math.gcd(coarsest, own) if cfg.get("fixed_input_size") else 1
    twin = create_backbone(name, {**kwargs, "device": "meta"}, False, None).eval()
    candidates = (first, coarsest, 2 * coarsest, 4 * coarsest, own)
    return next((multiple for multiple in candidates if _takes(twin, multiple, in_chans(kwargs))), first)


def _takes(twin: nn.Module, multiple: int, in_chans: int) -> bool:
    """Whether a backbone on the meta device takes images whose sides are multiples of a number."""
    sides = [(97, 131), (134, 163)] if multiple == 1 else [(5 * multiple, 3 * multiple)]
    try:
        with torch.no_grad():
            for height, width in sides:
                twin(torch.zeros(1, in_chans, height, width, device="meta"))
    except (AssertionError, RuntimeError, NotImplementedError):  # the last: an operation without a meta kernel
        return False
    return True


def in_chans(kwargs: Mapping[str, Any]) -> int:
    """Return the number of channels of the images that a backbone with these arguments takes."""
    return kwargs.get("in_chans", 3)


def for_channels(values: Sequence[float], in_chans: int) -> tuple[float, ...]:
    """Adapt the mean or standard deviation of RGB to images of other channels: one takes their mean, more repeat them.

    timm does the same to the weights of a pretrained stem.
    """
    if in_chans == 1 and len(values) == 3:
        return (sum(values) / 3,)
    return tuple(values[index % len(values)] for index in range(in_chans))


def gives_nhwc(backbone: nn.Module) -> bool:
    """Whether the maps of a backbone are (B, H, W, C), as Swin's are, and not (B, C, H, W)."""
    return str(getattr(backbone, "output_fmt", "NCHW")).endswith("NHWC")


def layer_ids(backbone: nn.Module, name: str, kwargs: Mapping[str, Any], coarse: bool = False) -> dict[str, int] | None:
    """Return the layer of every parameter of a backbone, as timm groups them for layer-wise learning rates.

    Args:
        backbone: As `create_backbone` built it.
        name: Of the model in timm.
        kwargs: The arguments that it was built with.
        coarse: Whether whole stages are layers.

    Returns:
        None if timm does not group the layers of this model.
    """
    whole: Any = _whole(name, kwargs)
    if not hasattr(whole, "group_matcher"):
        return None
    layers = group_parameters(whole, whole.group_matcher(coarse=coarse), reverse=True)
    by_flat_name = {parameter.replace(".", "_"): layer for parameter, layer in layers.items()}
    found = {parameter: by_flat_name.get(flat) for parameter, flat in _flat_names(backbone).items()}
    return None if None in found.values() else found  # type: ignore[return-value]


def parameters_without_decay(backbone: nn.Module, name: str, kwargs: Mapping[str, Any]) -> set[str]:
    """Return the names of parameters that timm excludes from weight decay: position embeddings, class tokens.

    Args:
        backbone: As `create_backbone` built it.
        name: Name of the model in timm.
        kwargs: The arguments that it was built with.
    """
    whole = _whole(name, kwargs)
    patterns = [pattern.replace(".", "_") for pattern in getattr(whole, "no_weight_decay", set)()]
    return {
        parameter
        for parameter, flat in _flat_names(backbone).items()
        if any(fnmatchcase(flat, pattern) for pattern in patterns)
    }


def _whole(name: str, kwargs: Mapping[str, Any]) -> nn.Module:
    """The whole model on the meta device: feature maps keep parts of it only, some without its methods."""
    return _build(name, {key: value for key, value in kwargs.items() if key not in _OF_FEATURES} | {"device": "meta"})


def _flat_names(backbone: nn.Module) -> dict[str, str]:
    """The parameters' names in the whole model with `_` for every dot, as timm's feature maps replace some of them."""
    return {name: _flat(name) for name, _ in backbone.named_parameters()}


def _flat(name: str) -> str:
    """A name without the prefix of the modules that timm wraps around a whole model, with `_` for every dot."""
    return name.removeprefix("model.").removeprefix("body.").replace(".", "_")


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
        words = _TOO_SMALL if multiple == 1 and isinstance(error, RuntimeError) else _OF_SIZES
        if not any(word in str(error) for word in words):
            raise
        raise UserError(
            f"{name} takes no images of this size: {one_line(error).rstrip('.')}{_own_size(name)}"
        ) from error


def _own_size(name: str) -> str:
    """The size that a backbone is built for, and how it is built for others if it can be, as the end of a message."""
    cfg: Any = timm.get_pretrained_cfg(name.split(".")[0])
    if cfg is None or not cfg.fixed_input_size:
        return ""
    channels, height, width = cfg.input_size
    size = [2 * height, width]  # some take squares only
    try:
        twin = _build(name, {"img_size": size, "features_only": True, "device": "meta"})
        twin.eval()(torch.zeros(1, channels, *size, device="meta"))
    except (TypeError, UserError, AssertionError, RuntimeError, NotImplementedError):
        return f"; it is built for {height}x{width}"
    return f"; it is built for {height}x{width}, with backbone_kwargs={{'img_size': [H, W]}} for others"


def _build(name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, **options)
    except UserError:
        raise
    except (AssertionError, AttributeError, RuntimeError) as error:
        raise UserError(f"the backbone {name!r} cannot be built for feature maps: {one_line(error)}") from error
