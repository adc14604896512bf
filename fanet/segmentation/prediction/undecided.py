"""How pixels are drawn and counted that a model with thresholds leaves undecided: as a grey class after the others."""

import numpy as np

from fanet.classes import ClassScheme

UNDECIDED = "undecided"
_GREY = (150, 150, 150)
_NOTHING = 256  # a label that no pixel has


def with_undecided(classes: ClassScheme) -> ClassScheme:
    """Return the classes and a last one for the ignored label, and no label that is ignored."""
    name = UNDECIDED
    while name in classes.names:
        name += "_"
    return ClassScheme((*classes.names, name), (*classes.palette, _GREY), _NOTHING)


def as_drawn(labels: np.ndarray, classes: ClassScheme, drawn: ClassScheme) -> np.ndarray:
    """Return labels, (H, W) uint8, with the last class of `drawn` in place of the ignored label.

    Args:
        labels: Predicted labels.
        classes: The model's classes.
        drawn: What `with_undecided` made of them; or the same, for labels without the ignored one.
    """
    if len(drawn) == len(classes):
        return labels
    return np.where(labels == classes.ignore_index, np.uint8(len(classes)), labels)


def label_palette(classes: ClassScheme, drawn: ClassScheme) -> list[tuple[int, int, int]]:
    """Return the palette of label maps: that of the classes, and grey for the ignored label if it is drawn."""
    palette = list(classes.palette)
    if len(drawn) > len(classes):
        palette += [(0, 0, 0)] * (classes.ignore_index - len(palette)) + [drawn.palette[-1]]
    return palette
