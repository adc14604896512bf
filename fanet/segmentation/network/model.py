"""UperNet around any timm backbone: build, run, predict; `pretrained` has saving, loading and sharing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import timm
import torch
import torch.nn.functional as F
from torch import nn

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError
from fanet.media.images import read_image
from fanet.segmentation.network.decoders.upernet import AuxiliaryHead, UperHead, resize
from fanet.segmentation.network.saving import PretrainedModel
from fanet.segmentation.prediction.windows import check_window, label_map
from fanet.segmentation.preprocessing import Preprocessing
from fanet.weights.failures import one_line

LEVELS = 4  # UperNet takes the last four maps of a backbone, [1/4, 1/8, 1/16, 1/32] for most

MOST_CLASSES = 256  # label maps are uint8

# How models that timm builds for one size are talked into others: its Swins, its vision transformers. In this order,
# because older Swins swallow the second argument and stay as they are.
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True})

# The constructor's own arguments say where weights come from; a config.json must not be able to.
_RESERVED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "features_only")

# Words by which errors about the size of an image are told from others.
_OF_SIZES = ("size", "shape", "dimension", "height", "width")

# What `timm.create_model` takes with `features_only=True` alone.
_OF_FEATURES = ("out_indices", "feature_cls")


class UperNet(PretrainedModel):
    """Semantic segmentation with a timm backbone, UperNet's head, and an auxiliary head in training.

    In evaluation (B, 3, H, W) -> (B, num_classes, H, W) for any H and W; in training a pair of such logits, from the
    main and from the auxiliary head (None without one). Backbones that timm builds for one size take others where they
    can (vision transformers, Swin), on images padded to what their maps divide.
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        head_channels: int = 256,
        aux_channels: int = 256,
        pool_scales: Sequence[int] = (1, 2, 3, 6),
        dropout: float = 0.1,
        backbone_kwargs: Mapping[str, Any] | None = None,
        pretrained_backbone: bool = False,
        backbone_weights: str | Path | None = None,
        classes: ClassScheme | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """
        Args:
            backbone: Name of a timm model that takes `features_only=True`.
            num_classes: Number of classes.
            head_channels: Width of the decode head.
            aux_channels: Width of the auxiliary head on the last map but one; 0 for none.
            pool_scales: Sides to which the last map is pooled.
            dropout: Share of channels dropped in front of both classifiers in training.
            backbone_kwargs: Further arguments for `timm.create_model`.
            pretrained_backbone: Start from the backbone's published weights.
            backbone_weights: Start from the weights in this file instead.
            classes: Names and colours; ZeroWaste-f's for five classes, else numbered ones.
            preprocessing: Resizing and normalisation for `predict`; by default none and the backbone's own.

        Raises:
            UserError: timm does not know the backbone, or it offers no feature maps or too few, or there are too many
                classes for 8 bits.
            ValueError: `classes` does not have `num_classes` names.
        """
        super().__init__()
        if not 1 <= num_classes <= MOST_CLASSES:
            raise UserError(f"num_classes must be in 1..{MOST_CLASSES}, as labels have 8 bits, got {num_classes}")
        if classes is None:
            classes = ZEROWASTE if num_classes == len(ZEROWASTE) else ClassScheme.numbered(num_classes)
        if len(classes) != num_classes:
            raise ValueError(f"num_classes is {num_classes}, but {len(classes)} classes are named")
        backbone_kwargs = _for_any_size(backbone, backbone_kwargs or {})
        self.backbone = _create_backbone(backbone, backbone_kwargs, pretrained_backbone, backbone_weights)
        cfg: dict[str, Any] = getattr(self.backbone, "pretrained_cfg", {})
        if cfg["architecture"] != backbone.split(".")[0]:
            backbone = cfg["architecture"]  # what timm calls a renamed model today
        self.config = dict(
            backbone=backbone,
            num_classes=num_classes,
            head_channels=head_channels,
            aux_channels=aux_channels,
            pool_scales=list(pool_scales),
            dropout=dropout,
            backbone_kwargs=backbone_kwargs,
        )
        self.classes = classes
        self.preprocessing = preprocessing or Preprocessing(mean=tuple(cfg["mean"]), std=tuple(cfg["std"]))
        in_chs = _channels(self.backbone)
        if aux_channels and len(in_chs) < 2:
            raise UserError(
                "the auxiliary head needs a second feature map: set aux_channels to 0, or other out_indices"
            )
        # Networks that timm builds for one size need sides that their maps divide, even where they take others.
        self.multiple = max(_reductions(self.backbone)) if cfg.get("fixed_input_size") else 1
        self.decode_head = UperHead(in_chs, num_classes, head_channels, pool_scales, dropout)
        self.auxiliary_head = AuxiliaryHead(in_chs[-2], num_classes, aux_channels, dropout) if aux_channels else None

    def group_matcher(self, coarse: bool = False) -> dict[str, Any] | None:
        """Patterns that sort parameters into layers, as timm's layer-wise learning rates want them.

        Those of the backbone; the heads, which none of them matches, count as the last layer. None where the backbone's
        feature maps keep no names to go by.
        """
        inner = getattr(self.backbone, "model", None)
        if inner is None or not hasattr(inner, "group_matcher"):
            return None

        def prefixed(patterns: Any) -> Any:
            if isinstance(patterns, str):
                return patterns.replace("^", r"^backbone\.model\.", 1)
            return [(prefixed(pattern), place) for pattern, place in patterns]

        return {group: prefixed(patterns) for group, patterns in inner.group_matcher(coarse=coarse).items()}

    def no_weight_decay(self) -> set[str]:
        """Names of parameters without weight decay beyond the one-dimensional ones, as timm's optimizers ask for them.

        Those that timm lists for the backbone: tables of positions, class tokens.
        """
        whole = getattr(self.backbone, "model", None)
        if whole is None:  # feature maps that keep parts of the network only, under names with some dots replaced
            kwargs = {key: value for key, value in self.config["backbone_kwargs"].items() if key not in _OF_FEATURES}
            whole = _build(self.config["backbone"], kwargs | {"device": "meta"})
        patterns = [pattern.replace(".", "_") for pattern in getattr(whole, "no_weight_decay", set)()]
        names = [name for name, _ in self.backbone.named_parameters()]
        bare = [name.removeprefix("model.").replace(".", "_") for name in names]
        return {
            f"backbone.{name}"
            for name, flat in zip(names, bare, strict=True)
            if any(fnmatchcase(flat, pattern) for pattern in patterns)
        }

    def forward_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> the backbone's maps, NCHW, finest first"""
        features = self.backbone(x)
        if str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC"):
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor | None]:
        height, width = x.shape[-2:]
        if self.multiple > 1:
            x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        features = self.forward_features(x)
        logits = resize(self.decode_head(features), x.shape[-2:])[..., :height, :width]
        if not self.training:
            return logits
        if self.auxiliary_head is None:
            return logits, None
        return logits, resize(self.auxiliary_head(features[-2]), x.shape[-2:])[..., :height, :width]

    @torch.inference_mode()
    def predict(
        self,
        image: PIL.Image.Image | np.ndarray | str | Path,
        window: tuple[int, int] | None = None,
        overlap: float = 0.25,
    ) -> np.ndarray:
        """The class index of every pixel of a picture at its own size: (H, W) uint8.

        The model's own preprocessing applies, its resizing too where a window then slides over the picture. Whatever
        mode the model is in, it predicts as in evaluation.

        Args:
            image: A PIL image, an (H, W, 3) uint8 RGB array or a path.
            window: Height and width of what the network sees at once; by default the whole picture.
            overlap: The least share of its side, 0..0.9, that a window has in common with its neighbour; logits are
                blended there.

        Raises:
            UserError: the picture cannot be read, the window makes no sense, or the backbone is built for another size.
        """
        if window is not None:
            check_window(window, overlap)
        pixels = read_image(image)
        training = self.training
        self.eval()
        try:
            picture = self.preprocessing.resized(pixels, self.decode_head.conv_seg.weight.device)
            height, width = pixels.shape[:2]
            with self.naming_refused_sizes():
                return label_map(self._coarse_logits, picture, (height, width), window, overlap).cpu().numpy()
        finally:
            self.train(training)

    def _coarse_logits(self, picture: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) of 0..255 -> logits of the main head, at the size of the first map or of the picture"""
        x = self.preprocessing.normalize(picture)
        return self.decode_head(self.forward_features(x)) if self.multiple == 1 else self(x)

    @contextmanager
    def naming_refused_sizes(self) -> Iterator[None]:
        """Within the block, what a backbone says of images whose size it is not built for becomes one clear line.

        Raises:
            UserError: the backbone takes no images of this size.
        """
        try:
            yield
        except (AssertionError, RuntimeError) as error:  # timm's answer, and what Hiera and others end in
            about_size = any(word in str(error) for word in _OF_SIZES)
            if not about_size or (self.multiple == 1 and isinstance(error, RuntimeError)):
                raise
            raise UserError(f"{self.config['backbone']} takes no images of this size: {one_line(error)}") from error


def load_model(name: str | Path | None = None) -> UperNet:
    """A trained segmentation model: a folder, a checkpoint file or a Hub id; the one inside the package for None.

    Raises:
        UserError: there is no usable model under that name, or it is a training run's and not one of its models.
    """
    if name is None:
        name = Path(str(files("fanet"))) / "models" / "clutter"
    return UperNet.from_pretrained(name)


def _create_backbone(name: str, kwargs: Mapping[str, Any], pretrained: bool, weights: str | Path | None) -> nn.Module:
    """The last four feature maps of a timm model; fewer where it has fewer."""
    overlay = {"pretrained_cfg_overlay": {"file": str(weights)}} if weights is not None else {}
    options = {"features_only": True, "pretrained": pretrained or weights is not None} | overlay | dict(kwargs)
    if "out_indices" not in options:
        levels = len(_channels(_build(name, {**kwargs, "features_only": True, "device": "meta"})))
        options["out_indices"] = tuple(range(max(0, levels - LEVELS), levels))
    return _build(name, options)


def _for_any_size(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with which a backbone takes images of any size: more than those given where timm fixes its size.

    Raises:
        UserError: timm does not know the backbone, or the arguments are not the caller's to give.
    """
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise UserError(f"unknown backbone {name!r}; `timm.list_models()` names those that exist")
    if reserved := [key for key in _RESERVED if key in kwargs]:
        raise UserError(
            f"backbone_kwargs must not hold {', '.join(reserved)}: use pretrained_backbone or backbone_weights instead"
        )
    if getattr(timm.get_pretrained_cfg(architecture), "fixed_input_size", False):
        for flexible in _ANY_SIZE:
            if not flexible.keys() & kwargs.keys():
                with suppress(TypeError):  # timm's answer to an argument that the backbone does not have
                    _build(name, {**kwargs, **flexible, "features_only": True, "device": "meta"})
                    return {**kwargs, **flexible}
    return dict(kwargs)


def _build(name: str, options: Mapping[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, **options)
    except UserError:
        raise
    except (AssertionError, AttributeError, RuntimeError) as error:
        raise UserError(f"the backbone {name!r} cannot be built for feature maps: {one_line(error)}") from error


def _reductions(backbone: nn.Module) -> list[int]:
    """How many pixels of the image each map's pixel spans to a side."""
    info: Any = backbone.feature_info
    return info.reduction()


def _channels(backbone: nn.Module) -> list[int]:
    """The width of each map of a timm model built with `features_only=True`."""
    info: Any = backbone.feature_info
    return info.channels()
