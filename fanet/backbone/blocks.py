"""The building blocks of FANet, bottom up: the paper's Figure 3, one class per concept.

Paper: "FANet: Feature Amplification Network for Semantic Segmentation in Cluttered Background" (Ali, Javaid, Noman,
Fiaz, Khan; ICIP 2024; https://arxiv.org/abs/2407.09379). What the paper leaves open (normalisation, activations, kernel
sizes, order of concatenation) follows the authors' released model.

Every map is NCHW. Layer norms run over channels through `F.layer_norm` on channels-last memory, and the convolutions
after them keep that memory format, so no map is ever copied between layouts.
"""

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import DropPath
from timm.models import checkpoint
from torch import nn

from fanet.backbone.resize import resize_as

Device = torch.device | str | None
Dtype = torch.dtype | None

STEM_KERNEL_SIZE = 5
STEM_STRIDE = 4
CONTEXT_KERNEL_SIZE = 7  # SCM: authors' `ctx_conv`
CONTEXT_GROUPS = 4  # SCM: authors' `ctx_conv`; half the width of a stage must be divisible by it


def depthwise_conv(
    dim: int, kernel_size: int, stride: int = 1, dilation: int = 1, device: Device = None, dtype: Dtype = None
) -> nn.Conv2d:
    """A convolution of each channel by itself, padded so that stride 1 keeps the size of the map."""
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(dim, dim, kernel_size, stride, padding, dilation, groups=dim, device=device, dtype=dtype)


class ToChannelsLast(nn.Module):
    """Lay a map out channels-last in memory: one copy here saves one in front of every layer norm that follows.

    Written with permutations, because `torch.func.vmap` knows no memory formats. (B, C, H, W) -> (B, C, H, W)
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class ConvActNorm(nn.Module):
    """LN(GELU(conv(x))): the order in which FANet embeds, squeezes and gathers context.

    (B, C, H, W) -> (B, C_out, H, W)
    """

    def __init__(
        self, conv: nn.Conv2d, act_layer: Callable, norm_layer: Callable, device: Device = None, dtype: Dtype = None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.act = act_layer()
        self.norm = norm_layer(conv.out_channels, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.act(self.conv(x)))


class ConvEmbedding(ConvActNorm):
    """CE, convolutional embedding: position and local texture by a depthwise convolution with a shortcut.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        conv = depthwise_conv(dim, kernel_size, dilation=dilation, device=device, dtype=dtype)
        super().__init__(conv, act_layer, norm_layer, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.act(self.conv(x)))


class SpatialContextModule(ConvActNorm):
    """SCM, spatial context module: a wide grouped convolution that gathers what surrounds a pixel.

    (B, h, H, W) -> (B, h, H, W)

    Raises:
        ValueError: `dim` is not divisible by the four groups.
    """

    def __init__(
        self,
        dim: int,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        padding = dilation * (CONTEXT_KERNEL_SIZE // 2)
        conv = nn.Conv2d(
            dim,
            dim,
            CONTEXT_KERNEL_SIZE,
            padding=padding,
            dilation=dilation,
            groups=CONTEXT_GROUPS,
            device=device,
            dtype=dtype,
        )
        super().__init__(conv, act_layer, norm_layer, device=device, dtype=dtype)


class RefinementBranch(nn.Module):
    """LN(DW 3x3(GELU(x))): what the FRM does to its low and to its high frequencies.

    (B, h, H, W) -> (B, h, H, W)
    """

    def __init__(
        self,
        dim: int,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        self.act = act_layer()
        self.conv = depthwise_conv(dim, 3, dilation=dilation, device=device, dtype=dtype)
        self.norm = norm_layer(dim, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(self.act(x)))


class FeatureRefinementModule(nn.Module):
    """FRM, feature refinement module: amplifies low and high frequencies apart, then joins them.

    (B, h, H, W) -> (B, h, H, W)

    The map is smoothed by going down by two and up again. The product of map and smoothed map holds what both agree on,
    the low frequencies; their difference holds edges and texture, the high frequencies.

    `branches` selects what is built: "both", or "low" or "high" alone for the rows of the paper's Table 2.
    """

    def __init__(
        self,
        dim: int,
        branches: str,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.down = depthwise_conv(dim, 3, stride=2, dilation=dilation, **dd)
        self.low = RefinementBranch(dim, act_layer, norm_layer, dilation, **dd) if branches != "high" else None
        self.high = RefinementBranch(dim, act_layer, norm_layer, dilation, **dd) if branches != "low" else None
        self.proj = nn.Conv2d(2 * dim if branches == "both" else dim, dim, 1, **dd)
        self.act = act_layer()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        smooth = resize_as(self.down(x), x)
        refined = []
        if self.low is not None:
            refined.append(self.low(x * smooth))
        if self.high is not None:
            refined.append(self.high(x - smooth))
        return self.act(self.proj(torch.cat(refined, dim=1)))


class AdaptiveFeatureEnhancement(nn.Module):
    """AFE, adaptive feature enhancement: CE, then SCM and FRM side by side on half the channels, then their fusion.

    (B, C, H, W) -> (B, C, H, W)

    With neither SCM nor FRM there is nothing to squeeze for and nothing to fuse: AFE is then the CE alone, the first
    row of the paper's Table 2.
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        scm: bool,
        frm: str | None,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        half = dim // 2
        parts = int(scm) + int(frm is not None)
        self.embed = ConvEmbedding(dim, kernel_size, act_layer, norm_layer, dilation, **dd)
        self.squeeze = ConvActNorm(nn.Conv2d(dim, half, 1, **dd), act_layer, norm_layer, **dd) if parts else None
        self.context = SpatialContextModule(half, act_layer, norm_layer, dilation, **dd) if scm else None
        self.refine = FeatureRefinementModule(half, frm, act_layer, norm_layer, dilation, **dd) if frm else None
        self.proj = nn.Conv2d(parts * half, dim, 1, **dd) if parts else None
        self.act = act_layer()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        if self.squeeze is None or self.proj is None:
            return x
        x = self.squeeze(x)
        enhanced = []
        if self.context is not None:
            enhanced.append(self.context(x))
        if self.refine is not None:
            enhanced.append(self.refine(x))
        return self.act(self.proj(torch.cat(enhanced, dim=1)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Earlier files call `proj` `fuse`, a name that timm's `reparameterize_model` takes for a method.
        for parameter in ("weight", "bias"):
            old, new = f"{prefix}fuse.{parameter}", f"{prefix}proj.{parameter}"
            if old in state_dict and new not in state_dict:
                state_dict[new] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args)


class ConvMlp(nn.Module):
    """ConvMLP: pointwise expansion, a depthwise 3x3 convolution with a shortcut, pointwise projection.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(
        self,
        dim: int,
        mlp_ratio: float,
        act_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        hidden = int(dim * mlp_ratio)
        self.fc1 = nn.Conv2d(dim, hidden, 1, **dd)
        self.act = act_layer()
        self.conv = depthwise_conv(hidden, 3, dilation=dilation, **dd)
        self.fc2 = nn.Conv2d(hidden, dim, 1, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.fc1(x))
        x = x + self.act(self.conv(x))
        return self.fc2(x)


class FANetBlock(nn.Module):
    """One block of a stage: x + AFE(LN(x)), then x + ConvMLP(LN(x)), both under stochastic depth.

    (B, C, H, W) -> (B, C, H, W)
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        mlp_ratio: float,
        scm: bool,
        frm: str | None,
        drop_path: float,
        act_layer: Callable,
        norm_layer: Callable,
        dilation: int = 1,
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        self.grad_checkpointing = False
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.norm1 = norm_layer(dim, **dd)
        self.afe = AdaptiveFeatureEnhancement(dim, kernel_size, scm, frm, act_layer, norm_layer, dilation, **dd)
        self.drop_path1 = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.norm2 = norm_layer(dim, **dd)
        self.mlp = ConvMlp(dim, mlp_ratio, act_layer, dilation, **dd)
        self.drop_path2 = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.grad_checkpointing and not torch.jit.is_scripting():
            # Each half by itself: the maps of one half are held at a time, for one more input that is kept.
            return checkpoint(self.forward_mlp, checkpoint(self.forward_afe, x))
        return self.forward_mlp(self.forward_afe(x))

    def forward_afe(self, x: torch.Tensor) -> torch.Tensor:
        """The first half, x + AFE(LN(x)): (B, C, H, W) -> (B, C, H, W)"""
        return x + self.drop_path1(self.afe(self.norm1(x)))

    def forward_mlp(self, x: torch.Tensor) -> torch.Tensor:
        """The second half, x + ConvMLP(LN(x)): (B, C, H, W) -> (B, C, H, W)"""
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class FANetStage(nn.Module):
    """The convolution that enters a stage (in the first, only a change of memory format) and the stage's blocks.

    (B, C_in, H, W) -> (B, C_out, H/stride, W/stride), sizes rounded up
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        depth: int,
        stride: int,
        dilation: tuple[int, int],
        is_first: bool,
        drop_path_rates: list[float],
        block_args: dict[str, Any],
        device: Device = None,
        dtype: Dtype = None,
    ) -> None:
        super().__init__()
        entry, inner = dilation  # of the convolution that enters the stage, and of everything after it
        self.downsample: nn.Module = ToChannelsLast()
        if not is_first:
            self.downsample = nn.Conv2d(
                in_chs, out_chs, 3, stride, padding=entry, dilation=entry, device=device, dtype=dtype
            )
        self.blocks = nn.Sequential(
            *[
                FANetBlock(
                    out_chs, drop_path=drop_path_rates[i], dilation=inner, device=device, dtype=dtype, **block_args
                )
                for i in range(depth)
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Under autocast convolutions give bfloat16 or float16: the sums over the blocks stay in the parameters' type.
        x = self.downsample(x).to(self.blocks[0].mlp.fc2.weight.dtype)  # type: ignore[union-attr]
        return self.blocks(x)
