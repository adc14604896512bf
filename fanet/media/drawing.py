"""Draw label maps over images, and images side by side with a legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fanet.classes import ClassScheme

# A class of this name is not tinted: the image shows as it is.
_BACKGROUND = "background"
# Outlines have the hue of their class, at this share of its brightness.
_OUTLINE_SHADE = 0.45
# Pixels of the longer side for each pixel of outline width.
_OUTLINE_EVERY = 300
# Rows that are tinted at a time, so that intermediate arrays stay in the processor's cache.
_BLOCK = 32

# The layout of a panel, in pixels at its full width.
_MARGIN, _GAP = 32, 20
_TITLE_SIZE, _TEXT_SIZE = 26, 22
_SWATCH = 48  # as high as the two lines of text beside it
_INK, _FAINT, _PAPER = (28, 28, 30), (110, 110, 115), (255, 255, 255)


@dataclass(frozen=True)
class LegendEntry:
    """A class in a legend: name, RGB colour (None leaves the box empty), and a value as text."""

    name: str
    colour: tuple[int, int, int] | None
    value: str = ""


def legend_of(classes: ClassScheme, values: Sequence[str]) -> list[LegendEntry]:
    """Return the legend of images made by `overlay`; `values` are texts, one for each class."""
    return [
        LegendEntry(name, None if name == _BACKGROUND else colour, value)
        for name, colour, value in zip(classes.names, classes.palette, values, strict=True)
    ]


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: ClassScheme, alpha: float = 0.5, below: np.ndarray | None = None
) -> np.ndarray:
    """Tint the objects in an image with the colours of their classes and outline them in a darker shade.

    Pixels of a class named `background` and those with the ignore index do not change.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) class indices.
        classes: Names and colours of the indices.
        alpha: Share of the class colour in a tinted pixel, 0..1.
        below: Rows (h, W, 3) that are put below the image, such as its legend.

    Returns:
        (H + h, W, 3) uint8 RGB, a new array.

    Raises:
        ValueError: The sizes differ, or a label is neither a class nor the ignore index.
    """
    extra = 0 if below is None else len(below)
    result = np.empty((len(image) + extra, *image.shape[1:]), dtype=image.dtype)
    if below is not None:
        result[len(image) :] = below
    top = 0
    for rows in overlay_rows(image, labels, classes, alpha):
        result[top : top + len(rows)] = rows
        top += len(rows)
    return result


def overlay_rows(
    image: np.ndarray, labels: np.ndarray, classes: ClassScheme, alpha: float = 0.5
) -> Iterator[np.ndarray]:
    """Yield what `overlay` returns in blocks of rows, of which one is in memory at a time. Arguments as there."""
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels {labels.shape} do not fit an image of {image.shape[:2]}")
    tables = _tables(classes, alpha)
    width = max(1, round(max(labels.shape) / _OUTLINE_EVERY))
    strip = max(_BLOCK, 8 * width)  # high enough that the rows around it cost little
    for start in range(0, len(labels), strip):
        above = min(start, width)
        borders = _borders(labels[start - above : start + strip + width], width)[above:]
        for top in range(start, min(start + strip, len(labels)), _BLOCK):
            rows = np.s_[top : min(top + _BLOCK, start + strip)]
            here = labels[rows]
            known = here[here != classes.ignore_index]
            if known.size and int(known.max()) >= len(classes):
                raise ValueError(f"label {int(known.max())} has no class: there are {len(classes)}")
            table_rows = (here + borders[top - start : top - start + len(here)] * np.intp(256)) * 256
            block = np.empty_like(image[rows])
            for channel in range(3):
                block[..., channel] = tables[channel].take(table_rows + image[rows, :, channel])
            yield block


def is_tinted(classes: ClassScheme, index: int) -> bool:
    """Return whether `overlay` tints the pixels of a class."""
    return classes.names[index] != _BACKGROUND and index != classes.ignore_index


def _tables(classes: ClassScheme, alpha: float) -> np.ndarray:
    """Return the new value of a channel for every class and old value: first tinted, then outlined."""
    tables = np.tile(np.arange(256, dtype=np.uint8), (3, 512, 1))
    for index, colour in enumerate(classes.palette):
        if is_tinted(classes, index):
            tint = np.array(colour, dtype=np.float32)[:, None]
            tables[:, index] = np.rint((1 - alpha) * np.arange(256) + alpha * tint)
            tables[:, 256 + index] = np.rint(_OUTLINE_SHADE * tint)
    return tables.reshape(3, -1)


def enlarge(array: np.ndarray, factor: int) -> np.ndarray:
    """Repeat every pixel `factor` times in both directions: (H, W, …) -> (factor H, factor W, …)."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def panel(
    columns: Sequence[tuple[str, np.ndarray]],
    legend: Sequence[LegendEntry] = (),
    note: str = "",
    width: int = 1600,
) -> np.ndarray:
    """Draw images side by side on white, each under its title, with a legend and a line of text below.

    Small images are enlarged by the largest integer factor that fits, without interpolation; large ones are reduced.

    Args:
        columns: Titles and images, (H, W, 3) uint8 RGB, all of one size.
        legend: Classes, in as many rows as they need.
        note: A line below the legend.
        width: Width of the panel in pixels; the result is narrower if the enlarged images do not fill it.

    Returns:
        (height, about `width`, 3) uint8 RGB.

    Raises:
        ValueError: There are no images, or they differ in size.
    """
    if not columns or len({image.shape for _, image in columns}) > 1:
        raise ValueError(f"a panel needs images of one size, got {[image.shape for _, image in columns]}")
    room = (width - 2 * _MARGIN - (len(columns) - 1) * _GAP) // len(columns)
    fitted = [_fitted(image, room) for _, image in columns]
    wide, high = fitted[0].size
    width = len(columns) * wide + (len(columns) - 1) * _GAP + 2 * _MARGIN

    entries = _legend_positions(legend, width)
    below = _MARGIN + _TITLE_SIZE + _GAP // 2 + high
    legend_top = below + _GAP
    legend_bottom = legend_top + (entries[-1][1] + _SWATCH if entries else 0)
    note_top = legend_bottom + (_GAP if entries and note else 0)
    height = note_top + (_TEXT_SIZE if note else 0) + _MARGIN

    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for position, ((title, _), image) in enumerate(zip(columns, fitted, strict=True)):
        left = _MARGIN + position * (wide + _GAP)
        draw.text((left, _MARGIN - 8), title, fill=_INK, font=font_of(_TITLE_SIZE))
        canvas.paste(image, (left, below - high))
    for entry, (left, top) in zip(legend, entries, strict=True):
        _draw_entry(draw, entry, left, legend_top + top)
    if note:
        draw.text((_MARGIN, note_top), note, fill=_FAINT, font=font_of(_TEXT_SIZE))
    return np.array(canvas)


def _borders(labels: np.ndarray, width: int) -> np.ndarray:
    """Return (H, W) bool: pixels with another label within `width` steps to the left, right, top or bottom."""
    return _borders_above_or_below(labels, width) | _borders_above_or_below(labels.T, width).T


def _borders_above_or_below(labels: np.ndarray, width: int) -> np.ndarray:
    """Return the same for the top and bottom only."""
    # near[i]: whether there is a border within the next `reach` steps; `width` steps are padded above the first row
    near = np.pad(labels[1:] != labels[:-1], ((width, width), (0, 0)))
    reach = 1
    while reach < 2 * width:
        step = min(reach, 2 * width - reach)
        near = near[:-step] | near[step:]
        reach += step
    return near


def _fitted(image: np.ndarray, room: int) -> Image.Image:
    """Resize an image to at most `room` pixels in width, as close to it as integer factors allow."""
    high, wide = image.shape[:2]
    if wide > room:
        return Image.fromarray(image).resize((room, max(1, round(high * room / wide))), Image.Resampling.LANCZOS)
    return Image.fromarray(enlarge(image, room // wide))


@cache  # Pillow decodes the font on every call
def font_of(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's built-in font in a size, in pixels."""
    return ImageFont.load_default(size)


def _legend_positions(legend: Sequence[LegendEntry], width: int) -> list[tuple[int, int]]:
    """Return left and top of every entry, relative to the legend: equal columns, spread evenly."""
    if not legend:
        return []
    font = font_of(_TEXT_SIZE)
    texts = [text for entry in legend for text in (entry.name, entry.value)]
    widest = _SWATCH + _GAP + round(max(font.getlength(text) for text in texts))
    inner = width - 2 * _MARGIN
    per_row = min(len(legend), max(1, inner // (widest + _GAP)))
    return [
        (_MARGIN + index % per_row * inner // per_row, index // per_row * (_SWATCH + _GAP))
        for index in range(len(legend))
    ]


def _draw_entry(draw: ImageDraw.ImageDraw, entry: LegendEntry, left: int, top: int) -> None:
    """Draw a swatch, the name to its right, and the value below the name."""
    box = (left, top, left + _SWATCH - 1, top + _SWATCH - 1)
    draw.rectangle(box, fill=entry.colour or _PAPER, outline=_INK if entry.colour else _FAINT)
    text, middle = left + _SWATCH + _GAP // 2, top + _SWATCH // 2
    font = font_of(_TEXT_SIZE)
    if entry.value:
        draw.text((text, middle - 13), entry.name, fill=_INK, font=font, anchor="lm")
        draw.text((text, middle + 13), entry.value, fill=_FAINT, font=font, anchor="lm")
    else:
        draw.text((text, middle), entry.name, fill=_INK, font=font, anchor="lm")
