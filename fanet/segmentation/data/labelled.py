"""Look at a few masks before a long run: is there anything to learn or to score?"""

from contextlib import suppress

import numpy as np

from fanet.errors import UserError
from fanet.segmentation.data.dataset import SegmentationDataset

# Masks, evenly spread over a split. Where classes are mixed, the first one is enough.
_MOST = 32


def require_labels(dataset: SegmentationDataset, split: str, where: str) -> list[str]:
    """Check that at least two classes are labelled, reading masks until two have been seen, but only a few.

    Args:
        dataset: The data set.
        split: Name of the split.
        where: How errors say which setting names the split.

    Returns:
        A line if there may be too few classes in the masks that were not read; no line otherwise.

    Raises:
        UserError: All masks were read, and fewer than two classes are labelled.
    """
    places = sorted({round(place) for place in np.linspace(0, len(dataset) - 1, _MOST)}) if len(dataset) else []
    seen: set[int] = set()
    ignore, read = dataset.classes.ignore_index, 0
    for index in places:
        with suppress(UserError):  # whatever cannot be read is reported where it is needed
            seen.update(int(value) for value in np.unique(dataset.load_labels(index)))
            read += 1
        if len(seen - {ignore}) > 1:
            return []
    if not read:
        return []
    is_whole = read == len(dataset)
    found = f"{'all' if is_whole else read} of the {len(dataset)} masks of the split {split}"
    line = f"in {found} {absence(dataset, seen)}"
    if is_whole:
        raise UserError(f"{line}; correct the data set, or choose another {where}")
    return [line]


def absence(dataset: SegmentationDataset, seen: set[int]) -> str:
    """Say which classes are labelled, if those are fewer than two, and how to mend it.

    Args:
        dataset: The data set.
        seen: All labels that occur.
    """
    classes, text = dataset.classes, sole_class(dataset, seen)
    if classes.ignore_index in seen and dataset.ignores_by_default:
        return f"{text}, and {classes.ignore_index} is read as ignored: {dataset.cure(sorted(seen))}"
    return f"{text}, so there is nothing to tell apart: a model needs pixels of two classes or more"


def sole_class(dataset: SegmentationDataset, seen: set[int]) -> str:
    """Say which class is labelled, if those are fewer than two.

    Args:
        dataset: The data set.
        seen: All labels that occur.
    """
    labelled = sorted(seen - {dataset.classes.ignore_index})
    return f"only {dataset.classes.names[labelled[0]]} is labelled" if labelled else "no pixel is labelled"
