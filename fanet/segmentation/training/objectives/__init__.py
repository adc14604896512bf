"""What training minimises, by the name used in recipes."""

from fanet.segmentation.training.objectives.base import Objective
from fanet.segmentation.training.objectives.cct import CrossConsistency
from fanet.segmentation.training.objectives.reco import RegionalContrast
from fanet.segmentation.training.objectives.supervised import Supervised

#: Objectives by name; each is built with `(network, loss)` and what else its constructor names.
OBJECTIVES: dict[str, type[Objective]] = {
    "supervised": Supervised,
    "cct": CrossConsistency,
    "reco": RegionalContrast,
}
