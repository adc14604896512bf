"""Scores that explain: by class, by the size of objects, near borders; and how well probabilities are calibrated."""

from collections.abc import Sequence

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.evaluation.breakdown.base import Breakdown
from fanet.segmentation.evaluation.breakdown.borders import BORDER_BANDS, BorderBands, BoundaryIou
from fanet.segmentation.evaluation.breakdown.calibration import Calibration
from fanet.segmentation.evaluation.breakdown.classes import ByClass
from fanet.segmentation.evaluation.breakdown.sizes import OBJECT_SIZES, ObjectSizes

#: What `fanet evaluate --by` takes.
WAYS = ("class", "size", "border", "calibration")


def build_breakdowns(
    by: Sequence[str],
    classes: ClassScheme,
    object_sizes: Sequence[float] = OBJECT_SIZES,
    border_bands: Sequence[float] = BORDER_BANDS,
) -> dict[str, Breakdown]:
    """Return what is counted of every image for scores that explain, by the key in `metrics.json`.

    Args:
        by: Of `class`, `size`, `border` (bands and boundary IoU) and `calibration`; the last comes with every other.
        classes: What the labels mean.
        object_sizes: Bounds between sizes of objects, as shares of the image's area.
        border_bands: Bounds of the bands around borders, in pixels.

    Raises:
        UserError: A name is unknown, or bounds are not positive and ascending.
    """
    unknown = [name for name in by if name not in WAYS]
    if unknown:
        raise UserError(f"scores can be told by {', '.join(WAYS)}, not by {unknown[0]!r}")
    found: dict[str, Breakdown] = {}
    if "class" in by:
        found["by_class"] = ByClass(classes)
    if "size" in by:
        found["by_size"] = ObjectSizes(classes, object_sizes)
    if "border" in by:
        found["by_border"] = BorderBands(classes, border_bands)
        found["boundary_iou"] = BoundaryIou(classes)
    if by:
        found["calibration"] = Calibration(classes)
    return found
