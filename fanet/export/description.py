"""What an exported file says about itself: its metadata, JSON by key."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import nn

from fanet import __version__
from fanet.errors import needs_extra
from fanet.segmentation import Preprocessing, SegmentationModel
from fanet.segmentation.network.backbones import for_channels
from fanet.segmentation.prediction.engines.exported import in_channels
from fanet.segmentation.prediction.thresholds import THRESHOLDS


def describe(net: nn.Module) -> dict[str, Any]:
    """Return how to use a network: classes and preprocessing of a segmentation model, timm's settings of others."""
    found: dict[str, Any] = {"fanet": __version__}
    if isinstance(net, SegmentationModel):
        found |= {} if net.thresholds is None else {THRESHOLDS: net.thresholds.to_dict()}
        return found | {
            "classes": list(net.classes.names),
            "palette": [list(colour) for colour in net.classes.palette],
            "ignore_index": net.classes.ignore_index,
            "preprocessing": net.preprocessing.to_dict(),
        }
    cfg: Any = getattr(net, "pretrained_cfg", None) or {}
    keys = ("architecture", "input_size", "interpolation", "crop_pct", "mean", "std", "num_classes")
    said = {key: cfg[key] for key in keys if key in cfg}
    for key in ("mean", "std"):
        if key in said:
            said[key] = for_channels(said[key], in_channels(net))
    return found | {"pretrained_cfg": said}


def has_logits(net: nn.Module) -> bool:
    """Return whether the output is one tensor of scores; the maps of a backbone have none."""
    return isinstance(net, SegmentationModel) or hasattr(net, "num_classes")


def preprocessing_of(description: Mapping[str, Any]) -> Preprocessing:
    """Return what happens to images first; before a classifier, whose images have its size, the normalisation alone.

    Raises:
        KeyError: The description is of something else.
        TypeError: The preprocessing has an unknown key.
    """
    if "pretrained_cfg" not in description:
        return Preprocessing.from_dict(description["preprocessing"])
    cfg = description["pretrained_cfg"]
    return Preprocessing(tuple(cfg.get("mean", IMAGENET_DEFAULT_MEAN)), tuple(cfg.get("std", IMAGENET_DEFAULT_STD)))


def encoded(description: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a description."""
    return {key: json.dumps(value) for key, value in description.items()}


def add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Add entries to the metadata of an ONNX file."""
    with needs_extra("onnx", "onnx"):
        import onnx

    model = onnx.load(str(path))
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
