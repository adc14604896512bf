"""The FANet backbone: its building blocks and the registered models."""

from .blocks import (
    AdaptiveFeatureEnhancement,
    ConvEmbedding,
    ConvMlp,
    FANetBlock,
    FeatureRefinementModule,
    SpatialContextModule,
)
from .fanet import FANet, FANetStage

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
