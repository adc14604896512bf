"""Peers of fanet_pico that timm cannot build by their arguments: its FocalNets fix their widths.

    fanet train --import benchmarks/small_peers.py clutter model.backbone=focalnet_pico -o runs/focalnet

MobileNetV3 and ConvNeXt come from timm as they are: `mobilenetv3_small_100`, and `convnext_atto` with
`model.backbone_kwargs.dims=[24,48,96,192]`.
"""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.focalnet import FocalNet

default_cfgs = generate_default_cfgs(
    {
        "focalnet_pico.untrained": {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "stem.proj",
            "classifier": "head.fc",
        }
    }
)


@register_model
def focalnet_pico(pretrained: bool = False, **kwargs: Any) -> FocalNet:
    """A FocalNet (Yang et al., NeurIPS 2022) with fanet_pico's widths: 1.32 M parameters.

    It has three focal levels, as the FocalNets of the paper.
    """
    model_args = dict(depths=(1, 1, 6, 1), embed_dim=24, focal_levels=(3, 3, 3, 3), drop_path_rate=0.0)
    feature_cfg = dict(flatten_sequential=True, out_indices=(0, 1, 2, 3))
    return build_model_with_cfg(
        FocalNet, "focalnet_pico", pretrained, feature_cfg=feature_cfg, **dict(model_args, **kwargs)
    )
