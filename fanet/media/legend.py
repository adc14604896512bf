"""The legend below an overlay: a strip that says which colour is which class."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from fanet.classes import ClassScheme
from fanet.media.drawing import font_of, is_tinted

_INK, _FRAME, _PAPER = (28, 28, 30), (110, 110, 115), (255, 255, 255)
# The height of the text is this part of the image's width, within limits in pixels.
_WIDTH_PER_SIZE, _SMALLEST, _LARGEST = 70, 11, 64
_BLOCK = 1 << 22  # labels that are searched at a time


def tinted_classes(labels: np.ndarray, classes: ClassScheme) -> list[int]:
    """Return the classes that occur in a label map (H, W) uint8 and that `overlay` tints, ascending."""
    missing = {index for index in range(len(classes)) if is_tinted(classes, index)}
    found: set[int] = set()
    rows = max(1, _BLOCK // labels.shape[1])
    for top in range(0, len(labels), rows):
        values = labels[top : top + rows].tobytes()  # which are searched much faster than counted
        found |= {index for index in missing if index in values}
        missing -= found
    return sorted(found)


def legend_strip(classes: ClassScheme, shown: Sequence[int], width: int, most: int | None = None) -> np.ndarray:
    """Draw a legend in as many rows as it needs.

    Args:
        classes: Names and colours.
        shown: The classes of the legend.
        width: Its width in pixels. A name that does not fit is cut off.
        most: Its greatest height in pixels; classes that do not fit are counted at its end. At least one row is drawn.

    Returns:
        (h, width, 3) uint8 RGB; h is 0 if no class is shown.
    """
    if not shown:
        return np.empty((0, width, 3), dtype=np.uint8)
    size = min(max(width // _WIDTH_PER_SIZE, _SMALLEST), _LARGEST)
    gap, row_height = size // 2, size + size // 2
    names = [classes.names[index] for index in shown]
    places = _places([size + gap + _length(name, size) for name in names], width, 2 * gap)
    rows = places[-1][1] + 1
    if most is not None and rows > (fitting := max(1, (most - gap) // row_height)):
        rows = fitting
        kept = sum(row < rows for _, row in places) - 1  # the last one makes room for the count
        names[kept:] = [f"and {len(shown) - kept} more"]
    canvas = Image.new("RGB", (width, rows * row_height + gap), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for name, index, (left, row) in zip(names, shown, places, strict=False):
        middle = gap // 2 + row * row_height + row_height // 2
        top = middle - size // 2
        if name == classes.names[index]:
            draw.rectangle((left, top, left + size - 1, top + size - 1), fill=classes.palette[index], outline=_FRAME)
            left += size + gap
        draw.text((left, middle), name, fill=_INK, font=font_of(size), anchor="lm")
    return np.array(canvas)


def _length(text: str, size: int) -> int:
    return round(font_of(size).getlength(text))


def _places(lengths: Sequence[int], width: int, gap: int) -> list[tuple[int, int]]:
    """Return the left edge and the row of every entry, side by side as long as there is room."""
    places, left, row = [], gap // 2, 0
    for length in lengths:
        if left > gap // 2 and left + length > width:
            left, row = gap // 2, row + 1
        places.append((left, row))
        left += length + gap
    return places
