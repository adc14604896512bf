"""FANet backbones for timm, and semantic segmentation around them.

Importing the package registers the models: `timm.create_model("fanet_base")`.
"""

__version__ = "0.1.0"

import fanet.weights
from fanet.backbone import FANet
from fanet.conversion import convert

fanet.weights.convert = convert

__all__ = ["FANet", "__version__"]
