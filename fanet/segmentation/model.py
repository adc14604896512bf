"""UperNet around any timm backbone: build, run, predict, save, load."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..classes import ZEROWASTE, ClassScheme
from ..errors import UserError
from ..files import atomic_path
from ..images import read_image
from .preprocessing import Preprocessing
from .upernet import AuxiliaryHead, UperHead, resize

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
LEVELS = 4  # UperNet takes the last four maps of a backbone, [1/4, 1/8, 1/16, 1/32] for most

# What the constructor takes and config.json repeats.
_ARGUMENTS = ("backbone", "num_classes", "head_channels", "aux_channels", "pool_scales", "dropout", "backbone_kwargs")


class UperNet(nn.Module):
    """Semantic segmentation with a timm backbone, UperNet's head, and an auxiliary head in training.

    In evaluation (B, 3, H, W) -> (B, num_classes, H, W) for any H and W; in training a pair of such logits, from the
    main and from the auxiliary head (None without one).
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
            UserError: timm does not know the backbone, or it offers no feature maps.
            ValueError: `classes` does not have `num_classes` names.
        """
        super().__init__()
        if classes is None:
            classes = ZEROWASTE if num_classes == len(ZEROWASTE) else ClassScheme.numbered(num_classes)
        if len(classes) != num_classes:
            raise ValueError(f"num_classes is {num_classes}, but {len(classes)} classes are named")
        self.config = dict(
            backbone=backbone,
            num_classes=num_classes,
            head_channels=head_channels,
            aux_channels=aux_channels,
            pool_scales=list(pool_scales),
            dropout=dropout,
            backbone_kwargs=dict(backbone_kwargs or {}),
        )
        self.backbone = _create_backbone(backbone, backbone_kwargs or {}, pretrained_backbone, backbone_weights)
        self.classes = classes
        cfg: dict[str, Any] = getattr(self.backbone, "pretrained_cfg", {})
        self.preprocessing = preprocessing or Preprocessing(mean=tuple(cfg["mean"]), std=tuple(cfg["std"]))
        in_chs = _channels(self.backbone)
        self.decode_head = UperHead(in_chs, num_classes, head_channels, pool_scales, dropout)
        self.auxiliary_head = AuxiliaryHead(in_chs[-2], num_classes, aux_channels, dropout) if aux_channels else None

    def forward_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> the backbone's maps, NCHW, finest first"""
        features = self.backbone(x)
        if str(getattr(self.backbone, "output_fmt", "NCHW")).endswith("NHWC"):
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        return features

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor | None]:
        size = x.shape[-2:]
        features = self.forward_features(x)
        logits = resize(self.decode_head(features), size)
        if not self.training:
            return logits
        if self.auxiliary_head is None:
            return logits, None
        return logits, resize(self.auxiliary_head(features[-2]), size)

    @torch.inference_mode()
    def predict(self, image: PIL.Image.Image | np.ndarray | str | Path) -> np.ndarray:
        """The class index of every pixel of a picture, whole and at its own size.

        `image` is a PIL image, an (H, W, 3) uint8 RGB array or a path; returns (H, W) uint8. The model's own
        preprocessing applies; whatever mode the model is in, it predicts as in evaluation.

        Raises:
            UserError: the picture cannot be read.
        """
        pixels = read_image(image)
        training = self.training
        self.eval()
        try:
            device = self.decode_head.conv_seg.weight.device
            logits = self(self.preprocessing(pixels, device))
            if logits.shape[-2:] != pixels.shape[:2]:
                logits = resize(logits, pixels.shape[:2])
            return logits.argmax(1)[0].to(torch.uint8).cpu().numpy()
        finally:
            self.train(training)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` (network, classes, palette, preprocessing) and `model.safetensors` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        with atomic_path(folder / WEIGHTS_NAME) as path:
            save_file(tensors, path, metadata={"format": "pt"})
        config = self.config | {
            "library_name": "fanet",
            "classes": list(self.classes.names),
            "palette": [list(colour) for colour in self.classes.palette],
            "ignore_index": self.classes.ignore_index,
            "preprocessing": self.preprocessing.to_dict(),
        }
        with atomic_path(folder / CONFIG_NAME) as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, name: str | Path) -> "UperNet":
        """Load what `save_pretrained` wrote, from a folder; in evaluation mode, float32.

        Raises:
            UserError: a file is missing or broken, or the weights do not fit the configuration.
        """
        folder = Path(name)
        if not folder.is_dir():
            raise UserError(f"{name}: no such model folder; give a folder with {CONFIG_NAME} and {WEIGHTS_NAME}")
        net = cls.from_config(_read_config(folder / CONFIG_NAME))
        _load_weights(net, folder / WEIGHTS_NAME)
        return net.eval()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "UperNet":
        """The untrained network that a `config.json` describes.

        Raises:
            KeyError, TypeError, ValueError: an entry is missing or does not make sense.
        """
        palette = tuple((red, green, blue) for red, green, blue in config["palette"])
        return cls(
            **{key: config[key] for key in _ARGUMENTS},
            classes=ClassScheme(tuple(config["classes"]), palette, config["ignore_index"]),
            preprocessing=Preprocessing.from_dict(config["preprocessing"]),
        )


def load_model(name: str | Path | None = None) -> UperNet:
    """A trained segmentation model by folder; the one inside the package for None.

    Raises:
        UserError: there is no usable model under that name.
    """
    if name is None:
        name = Path(str(files("fanet"))) / "pretrained" / "fanet_pico_clutter"
    return UperNet.from_pretrained(name)


def _create_backbone(name: str, kwargs: Mapping[str, Any], pretrained: bool, weights: str | Path | None) -> nn.Module:
    """The last four feature maps of a timm model; fewer where it has fewer."""
    if not timm.is_model(name.split(".")[0]):
        raise UserError(f"unknown backbone {name!r}; `timm.list_models()` names those that exist")
    overlay = {"pretrained_cfg_overlay": {"file": str(weights)}} if weights is not None else {}
    options = {"features_only": True, "pretrained": pretrained or weights is not None} | overlay | dict(kwargs)
    if "out_indices" not in options:
        probe = timm.create_model(name, **{**kwargs, "features_only": True, "device": "meta"})
        levels = len(_channels(probe))
        options["out_indices"] = tuple(range(max(0, levels - LEVELS), levels))
    return timm.create_model(name, **options)


def _channels(backbone: nn.Module) -> list[int]:
    """The width of each map of a timm model built with `features_only=True`."""
    info: Any = backbone.feature_info
    return info.channels()


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: missing; a model folder holds {CONFIG_NAME} and {WEIGHTS_NAME}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); save the model again") from None
    missing = [key for key in (*_ARGUMENTS, "classes", "palette", "preprocessing") if key not in config]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; save the model again with save_pretrained")
    return config


def _load_weights(net: UperNet, path: Path) -> None:
    """Fill a network from a safetensors file, name for name; tensors become the network's type."""
    try:
        net.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; a model folder holds {CONFIG_NAME} and {WEIGHTS_NAME}") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: broken safetensors file ({error}); copy or save it again") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: the weights do not fit {CONFIG_NAME}: {reason}") from None
