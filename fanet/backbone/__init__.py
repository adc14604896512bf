"""The FANet backbone: its building blocks and the registered models."""

from fanet.backbone.blocks import (
    AdaptiveFeatureEnhancement,
    ConvEmbedding,
    ConvMlp,
    FANetBlock,
    FANetStage,
    FeatureRefinementModule,
    SpatialContextModule,
)
from fanet.backbone.fanet import FANet

__all__ = [
    "AdaptiveFeatureEnhancement",
    "ConvEmbedding",
    "ConvMlp",
    "FANet",
    "FANetBlock",
    "FANetStage",
    "FeatureRefinementModule",
    "SpatialContextModule",
]
