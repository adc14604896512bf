"""What training minimises, by the name used in recipes."""

from fanet.segmentation.training.objectives.base import Objective
from fanet.segmentation.training.objectives.supervised import Supervised

#: Objectives by name; each is built with `(network, loss)`.
OBJECTIVES: dict[str, type[Objective]] = {"supervised": Supervised}
