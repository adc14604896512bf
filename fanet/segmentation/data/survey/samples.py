"""What the images and labels of a data set look like: sizes, classes, objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.data.parallel import parallel_map
from fanet.segmentation.data.survey.groups import difference_hash

with needs_extra("seg", "cv2"):
    import cv2

_FEWEST_PER_WORKER = 256  # images: for fewer, starting a process takes longer than reading them
_SMALLEST = 1e-5  # share of the image: what is smaller is taken for a slip of the pen
_MEASURED = 512  # pixels of the longer side at which objects are measured
_MOST_OBJECTS = 100  # of an image


@dataclass(frozen=True)
class Look:
    """What one sample looks like.

    Attributes:
        size: Height and width of the image.
        classes: The classes that its labels have.
        objects: For each piece of a class other than the background the square root of its area, as a share of the
            image's longer side.
        hash: `difference_hash` of the image.
        turned: Whether an EXIF orientation rotates the image, but not its labels.
    """

    size: tuple[int, int]
    classes: frozenset[int]
    objects: tuple[float, ...]
    hash: int
    turned: bool


def look_at(dataset: SegmentationDataset, title: str) -> list[Look]:
    """Look at every sample of a data set.

    Args:
        dataset: The data set.
        title: Title of the progress bar.

    Raises:
        UserError: A sample cannot be read, or images and labels differ in size; it says how many.
    """
    with parallel_map(partial(_look, dataset), len(dataset), title, "image", None, _FEWEST_PER_WORKER) as results:
        looks = list(results)
    faults = [look for look in looks if isinstance(look, str)]
    if faults:
        raise UserError(faults[0] + (f" (and {len(faults) - 1} more images with faults)" if faults[1:] else ""))
    return [look for look in looks if not isinstance(look, str)]


def _look(dataset: SegmentationDataset, index: int) -> Look | str:
    """Return what a sample looks like, or what is wrong with it."""
    try:
        sample = dataset[index]
        turned = dataset.turned_image(index) is not None
    except UserError as error:
        return str(error)
    assert sample.labels is not None, "data sets have labels"
    present = np.flatnonzero(np.bincount(sample.labels.ravel(), minlength=256)).tolist()
    classes = frozenset(present) - {dataset.classes.ignore_index}
    height, width = sample.image.shape[:2]
    objects = objects_of(sample.labels, sorted(classes - {dataset.classes.background}))
    return Look((height, width), classes, objects, difference_hash(sample.image), turned)


def objects_of(labels: np.ndarray, classes: Sequence[int]) -> tuple[float, ...]:
    """Return the square root of the area of each connected piece of some classes, as a share of the longer side.

    Args:
        labels: (H, W) uint8.
        classes: The classes, without the background.
    """
    scale = min(1.0, _MEASURED / max(labels.shape))
    width, height = (max(1, round(side * scale)) for side in labels.shape[::-1])
    small = cv2.resize(np.ascontiguousarray(labels), (width, height), interpolation=cv2.INTER_NEAREST)
    areas: list[float] = []
    for index in classes:
        _, _, statistics, _ = cv2.connectedComponentsWithStats((small == index).astype(np.uint8))
        areas += statistics[1:, cv2.CC_STAT_AREA].tolist()
    least = _SMALLEST * small.size
    largest = sorted((area for area in areas if area > least), reverse=True)[:_MOST_OBJECTS]
    return tuple(float(area) ** 0.5 / max(small.shape) for area in largest)
