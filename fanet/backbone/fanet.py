"""FANet, Feature Amplification Network: network, checkpoint filter, and one function a variant.

Paper: "FANet: Feature Amplification Network for Semantic Segmentation in Cluttered Background" (Ali, Javaid, Noman,
Fiaz, Khan; ICIP 2024; https://arxiv.org/abs/2407.09379). Weights of the authors: Apache-2.0, in the Hub repository
mubashir04/fanet_zerowaste_segmentation. The code is this project's own.

What differs from the authors' release, none of it in the numbers that come out:
- a stage owns the convolution that downsamples into it, so a stage is a feature tap;
- layer norms run as `F.layer_norm` on channels-last memory instead of spelled-out means and variances;
- widths, depths, input channels and the ablations of Table 2 are arguments, and arguments are obeyed;
- parameter names say what the parameters do; `checkpoint_filter_fn` takes the authors' names too.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import NormMlpClassifierHead, calculate_drop_path_rates, get_act_layer, get_norm_layer, trunc_normal_
from timm.models import (
    build_model_with_cfg,
    generate_default_cfgs,
    named_apply,
    register_model,
    register_model_deprecations,
)
from torch import nn

from fanet.backbone.blocks import CONTEXT_GROUPS, STEM_KERNEL_SIZE, STEM_STRIDE, Device, Dtype, FANetBlock, FANetStage
from fanet.backbone.timm_private import CheckpointingFeatureGetter, feature_take_indices
from fanet.weights.fitting import complete_head, fit_backbone
from fanet.weights.loading import allow_in_timm
from fanet.weights.names import backbone_state_dict, holds_backbone, unwrap
from fanet.weights.pretrained import build_pretrained

__all__ = ["FANet", "FANetStage"]

FRM_CHOICES = ("both", "high", "low", "none", None)


class FANet(nn.Module):
    """The backbone with a classification head: stem, four stages, mean over space -> LN -> Linear.

    (B, in_chans, H, W) -> (B, num_classes); `forward_features` -> (B, dims[-1], H/32, W/32), sizes rounded up.
    The defaults are the paper's FANet.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        output_stride: int = 32,
        depths: tuple[int, ...] = (2, 2, 8, 2),
        dims: tuple[int, ...] = (96, 192, 384, 768),
        kernel_sizes: tuple[int, ...] = (5, 5, 3, 3),
        mlp_ratio: float = 4.0,
        scm: bool = True,
        frm: str | None = "both",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        act_layer: str | Callable = "gelu",
        norm_layer: str | Callable = "layernorm2d",
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        """
        Args:
            in_chans: Number of input channels.
            num_classes: Number of classes of the head; 0 for none.
            global_pool: "avg" as in the paper, "max", "avgmax", or "" to keep the map.
            output_stride: 32, or 16 or 8, where later stages dilate their convolutions instead of downsampling.
            depths: Blocks in each stage.
            dims: Channels of each stage, multiples of 8.
            kernel_sizes: Side of the CE's depthwise kernel in each stage, odd.
            mlp_ratio: Width of the ConvMLP over that of its stage.
            scm: Whether blocks have the spatial context module.
            frm: Feature refinement module with "both" frequency branches, only "high", only "low", or None. "none" is
                None for `timm.create_model`, which drops keywords that are None and so would build the default.
            drop_rate: Dropout in front of the classifier.
            drop_path_rate: Stochastic depth of the last block; rises linearly from 0 at the first.
            act_layer: Activation, a name of timm's or a class.
            norm_layer: Norm of NCHW maps, a name of timm's or a class.
            device: Where parameters are created.
            dtype: Type of the parameters.

        Raises:
            ValueError: sizes that do not fit together, or an unknown `output_stride` or `frm`.
        """
        super().__init__()
        _check_sizes(depths, dims, kernel_sizes)
        if output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}")
        if frm not in FRM_CHOICES:
            raise ValueError(f'frm must be "both", "high", "low", "none" or None, got {frm!r}')
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        act_layer, norm_layer = get_act_layer(act_layer), get_norm_layer(norm_layer)
        self.in_chans = in_chans
        self.num_classes = num_classes
        self.drop_rate = drop_rate

        self.stem = nn.Conv2d(in_chans, dims[0], STEM_KERNEL_SIZE, STEM_STRIDE, padding=STEM_KERNEL_SIZE // 2, **dd)
        stages = []
        feature_info: list[dict[str, Any]] = []
        drop_path_rates: Any = calculate_drop_path_rates(drop_path_rate, list(depths), stagewise=True)
        in_chs, reduction, dilation = dims[0], STEM_STRIDE, 1
        for i, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
            stride = 1 if i == 0 else 2
            entry_dilation = dilation
            if reduction * stride > output_stride:
                stride, dilation = 1, dilation * 2
            reduction *= stride
            block_args = dict(
                kernel_size=kernel_sizes[i],
                mlp_ratio=mlp_ratio,
                scm=scm,
                frm=None if frm == "none" else frm,
                act_layer=act_layer,
                norm_layer=norm_layer,
            )
            stages.append(
                FANetStage(
                    in_chs, dim, depth, stride, (entry_dilation, dilation), i == 0, drop_path_rates[i], block_args, **dd
                )
            )
            feature_info.append(dict(num_chs=dim, reduction=reduction, module=f"stages.{i}"))
            in_chs = dim
        self.stages = nn.Sequential(*stages)
        self.feature_info = feature_info

        self.num_features = self.head_hidden_size = dims[-1]
        self.head = NormMlpClassifierHead(
            dims[-1], num_classes, pool_type=global_pool, drop_rate=drop_rate, norm_layer=norm_layer, **dd
        )
        self.init_weights()

    @torch.jit.ignore
    def init_weights(self) -> None:
        """Set every parameter to its initial value: weights truncated normal with std 0.02, biases 0, LN weights 1.

        Only the stem's bias is uniform, as PyTorch's: from 0 constant regions would stay 0 in every channel, where each
        layer norm multiplies gradients by 1 / sqrt(eps) = 1000. Nothing is drawn on the meta device.
        """
        if not self.stem.weight.is_meta:
            named_apply(_init_weights, self)
        if self.stem.bias is not None:
            bound = self.stem.weight[0].numel() ** -0.5
            nn.init.uniform_(self.stem.bias, -bound, bound)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay beyond the one-dimensional ones: none."""
        return set()

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that sort parameters into layers, for layer-wise learning rates; `coarse` makes a stage a layer."""
        blocks = r"^stages\.(\d+)" if coarse else [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
        ]  # fmt: skip
        return dict(stem=r"^stem", blocks=blocks)

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block's activations in the backward pass instead of keeping them, or stop doing so."""
        for module in self.modules():
            if isinstance(module, FANetBlock):
                module.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The last linear layer, an Identity where there are no classes."""
        return self.head.fc

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give the head another number of classes and, unless None, another pooling; the norm stays."""
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)
        # Older timm builds the new layers on the default device, in training mode.
        reference = self.stem.weight
        self.head.to(device=reference.device, dtype=reference.dtype).train(self.training)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take tensors as `nn.Module` does; the authors' names and containers are translated first.

        timm's `checkpoint_path=` comes through here. Out of a segmentation model the backbone is picked, and the head
        keeps its values. What this very network gave away is taken as it is, whatever layers a user has put into it.
        """
        if state_dict.keys() == self.state_dict().keys():
            return super().load_state_dict(state_dict, strict, assign)
        tensors = backbone_state_dict(state_dict)
        if holds_backbone(unwrap(state_dict)):
            tensors = complete_head(tensors, self)
        if tensors.keys() != state_dict.keys():
            state_dict = tensors
        return super().load_state_dict(state_dict, strict, assign)

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the maps of the stages, [1/4, 1/8, 1/16, 1/32] of the input, and the final map.

        Args:
            x: (B, in_chans, H, W).
            indices: The stages wanted: the last n for an int, all for None.
            norm: Accepted for timm's sake; FANet has no norm after its stages.
            stop_early: Leave out the stages after the last one wanted.
            output_fmt: Only "NCHW".
            intermediates_only: Return the list alone.

        Raises:
            ValueError: `output_fmt` is not "NCHW".
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be NCHW, got {output_fmt}")
        take_indices, max_index = feature_take_indices(len(self.stages), indices)
        if torch.jit.is_scripting() or not stop_early:  # TorchScript cannot slice modules
            stages = self.stages
        else:
            stages = self.stages[: max_index + 1]
        x = self.stem(x)
        intermediates = []
        for i, stage in enumerate(stages):
            x = stage(x)
            if i in take_indices:
                intermediates.append(x)
        if intermediates_only:
            return intermediates
        return x, intermediates

    @torch.jit.ignore
    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove the stages after the last one of `indices`, and with them (or if `prune_head`) the head.

        `prune_norm` is accepted for timm's sake. Returns the indices that were kept, none of them negative.
        """
        take_indices, max_index = feature_take_indices(len(self.stages), indices)
        shortened = max_index < len(self.stages) - 1
        self.stages = self.stages[: max_index + 1]
        if prune_head or shortened:
            self.num_classes = 0
            self.num_features = self.head_hidden_size = self.feature_info[max_index]["num_chs"]
            self.head = NormMlpClassifierHead(self.num_features, 0, pool_type="", norm_layer=nn.Identity)
            self.head.train(self.training)
        return take_indices

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_chans, H, W) -> (B, num_features, H/32, W/32)"""
        return self.stages(self.stem(x))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """(B, num_features, h, w) -> (B, num_classes), or (B, num_features) with `pre_logits`"""
        return self.head(x, pre_logits=True) if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _check_sizes(depths: tuple[int, ...], dims: tuple[int, ...], kernel_sizes: tuple[int, ...]) -> None:
    if not len(depths) == len(dims) == len(kernel_sizes):
        raise ValueError(
            f"depths, dims and kernel_sizes need one entry a stage, got {len(depths)}, {len(dims)}, {len(kernel_sizes)}"
        )
    if any(dim % (2 * CONTEXT_GROUPS) for dim in dims):
        raise ValueError(f"dims must be multiples of {2 * CONTEXT_GROUPS}, got {tuple(dims)}")
    if any(size % 2 == 0 for size in kernel_sizes):
        raise ValueError(f"kernel_sizes must be odd, got {tuple(kernel_sizes)}")


def _init_weights(module: nn.Module, name: str = "") -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, torch.Tensor]:
    """Whatever a checkpoint file held -> the tensors of `model`, by this project's names; idempotent.

    Takes a classifier or a segmentation model in the authors' layout or this project's, plain or as a training
    checkpoint. The backbone must match name for name; only the head may be missing, as it is in a segmentation model.

    Raises:
        WeightsError: a RuntimeError; tensors of the backbone are missing, or some belong to another network.
    """
    return fit_backbone(state_dict, model)


def _create_fanet(variant: str, pretrained: bool = False, **kwargs: Any) -> FANet:
    allow_in_timm()  # `checkpoint_path=` is opened by timm, when this function has returned
    if kwargs.get("feature_cls") == "getter":
        del kwargs["feature_cls"]  # it is the default, here with gradient checkpointing
    cfg: Any = {"flatten_sequential": True} if "feature_cls" in kwargs else {"feature_cls": CheckpointingFeatureGetter}
    build = partial(build_model_with_cfg, FANet, variant, pretrained, feature_cfg=cfg | {"out_indices": (0, 1, 2, 3)})
    if pretrained:
        return build_pretrained(build, variant, **kwargs)
    return build(**kwargs)


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.9,  # not published; that of Swin and VAN, whose recipe the paper follows
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem",
        "classifier": "head.fc",
        "license": "apache-2.0",
        "paper_ids": "arXiv:2407.09379",
        "paper_name": "FANet: Feature Amplification Network for Semantic Segmentation in Cluttered Background",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "fanet_base.in1k": _cfg(hf_hub_id="mubashir04/fanet_zerowaste_segmentation"),
        "fanet_pico.tiny_imagenet": _cfg(
            file=str(files("fanet") / "weights" / "files" / "fanet_pico.tiny_imagenet.safetensors"),
            num_classes=200,
            input_size=(3, 64, 64),
            pool_size=(2, 2),
            crop_pct=1.0,
            notes=("the images of Tiny-ImageNet are for non-commercial research",),
        ),
        "test_fanet.untrained": _cfg(input_size=(3, 160, 160), pool_size=(5, 5)),
    }
)


def _register(variant: Callable[..., FANet]) -> Callable[..., FANet]:
    """Register a variant in timm; one that `default_cfgs` does not list has no weights yet."""
    if variant.__name__ not in default_cfgs:
        default_cfgs.update(generate_default_cfgs({f"{variant.__name__}.untrained": _cfg()}))
    return register_model(variant)


# docs/architecture.md has the rule by which the sizes beside the paper's were chosen.


@_register
def fanet_large(pretrained: bool = False, **kwargs: Any) -> FANet:
    """FocalNet-B's size: 85.5 M parameters."""
    model_args = dict(depths=(2, 2, 14, 2), dims=(128, 256, 512, 1024))
    return _create_fanet("fanet_large", pretrained=pretrained, **dict(model_args, **kwargs))


@_register
def fanet_base(pretrained: bool = False, **kwargs: Any) -> FANet:
    """The paper's FANet: 36.7 M parameters, 5.80 GMACs at 224x224."""
    model_args = dict(depths=(2, 2, 8, 2), dims=(96, 192, 384, 768))
    return _create_fanet("fanet_base", pretrained=pretrained, **dict(model_args, **kwargs))


@_register
def fanet_small(pretrained: bool = False, **kwargs: Any) -> FANet:
    """About half of the paper's FANet: 16.6 M parameters."""
    model_args = dict(depths=(2, 2, 8, 2), dims=(64, 128, 256, 512))
    return _create_fanet("fanet_small", pretrained=pretrained, **dict(model_args, **kwargs))


@_register
def fanet_nano(pretrained: bool = False, **kwargs: Any) -> FANet:
    """For edge devices: 4.4 M parameters."""
    model_args = dict(depths=(2, 2, 8, 2), dims=(32, 64, 128, 256), drop_path_rate=0.0)
    return _create_fanet("fanet_nano", pretrained=pretrained, **dict(model_args, **kwargs))


@_register
def fanet_pico(pretrained: bool = False, **kwargs: Any) -> FANet:
    """Small enough to ship trained inside the wheel: 1.3 M parameters with the 200 classes of its weights."""
    model_args = dict(depths=(1, 1, 4, 1), dims=(24, 48, 96, 192), drop_path_rate=0.0)
    return _create_fanet("fanet_pico", pretrained=pretrained, **dict(model_args, **kwargs))


@_register
def test_fanet(pretrained: bool = False, **kwargs: Any) -> FANet:
    """A tiny twin for tests."""
    model_args = dict(depths=(1, 1, 2, 1), dims=(16, 32, 64, 128), drop_path_rate=0.0)
    return _create_fanet("test_fanet", pretrained=pretrained, **dict(model_args, **kwargs))


# The authors' code calls the paper's model `fanet_tiny`.
register_model_deprecations(__name__, {"fanet_tiny": "fanet_base"})
