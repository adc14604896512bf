"""FANet backbones for timm, and semantic segmentation around them.

Importing the package registers the models: `timm.create_model("fanet_base")`.
"""

__version__ = "0.1.0"

from fanet.interrupts import leave_without_traceback

leave_without_traceback()  # before the imports that take seconds

import fanet.weights  # noqa: E402
from fanet.backbone import FANet  # noqa: E402
from fanet.conversion import convert  # noqa: E402

fanet.weights.convert = convert

__all__ = ["FANet", "__version__"]
