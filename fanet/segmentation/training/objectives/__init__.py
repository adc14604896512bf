"""What a training minimises, by the name that recipes give it."""

from fanet.segmentation.training.objectives.base import Objective
from fanet.segmentation.training.objectives.supervised import Supervised

#: By name; each is built with `(network, loss)`.
OBJECTIVES: dict[str, type[Objective]] = {"supervised": Supervised}
