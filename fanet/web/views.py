"""What the page shows of a result: images as arrays, tables as HTML. All names are escaped."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape

import numpy as np
from PIL import Image

from fanet.classes import ZEROWASTE
from fanet.errors import counted
from fanet.media.channels import visible
from fanet.media.drawing import enlarge, is_tinted, overlay
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.web.segmenting import Segmented, about_model, network

#: Columns of the table of objects; `OBJECT_X` and `OBJECT_Y` are where the centre is among them.
OBJECT_COLUMNS = ("#", "class", "share (%)", "area (px)", "x", "y", "probability (%)")
OBJECT_X, OBJECT_Y = OBJECT_COLUMNS.index("x"), OBJECT_COLUMNS.index("y")

_MOST_SHOWN = 1600  # pixels of the longer side of an image in the browser
_ENLARGED = 768  # pixels to which that of small images is enlarged, at least
_MOST_SEEN = 768  # pixels of the longer side of an image of which features are shown
_MOST_OBJECTS, _MOST_CLASSES = 200, 12  # rows in a table


def picture(found: Segmented, opacity: float) -> np.ndarray:
    """Draw the classes over the image at an opacity, 0..1: (h, w, 3) uint8.

    Large images are reduced to what a screen shows. Small ones are enlarged first, so that outlines are thin.
    """
    step, factor = _zoom(found)
    image, labels = _reduced(visible(found.source.pixels), step), found.drawn_labels[::step, ::step]
    if factor > 1:
        size = (image.shape[1] * factor, image.shape[0] * factor)
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
        labels = enlarge(labels, factor)
    return overlay(image, labels, found.drawn, opacity) if opacity else image


def pixel_of(found: Segmented, x: int, y: int) -> tuple[int, int]:
    """Return the pixel of the image that is at x, y in `picture`."""
    step, factor = _zoom(found)
    return x * step // factor, y * step // factor


def headline(found: Segmented, notes: Sequence[str] = ()) -> str:
    """Return what was found, by which model, and what there is to note about the image, as HTML."""
    height, width = found.labels.shape
    present = len({entry.label for entry in found.objects})
    kinds = f" of {present} {'class' if present == 1 else 'classes'}" if present else ""
    model = f"<b>{escape(found.model)}</b>, {escape(about_model(found.model))}"
    score = _score(found)
    scored = "" if score is None else f" Compared with the true classes: <b>{100 * score.miou:.0f} % mIoU</b>."
    return (
        f'<p class="headline"><b>{counted(len(found.objects), "object")}</b>{kinds} in {width} × {height} pixels, '
        f"found in {found.seconds:.2f} s by {model}.{scored}</p>"
        + "".join(f"<p>Note: {escape(note)}</p>" for note in notes)
    )


def legend(found: Segmented) -> str:
    """Return the classes, their colours and their shares of the pixels as an HTML table, the largest first."""
    shares = np.bincount(found.drawn_labels.ravel(), minlength=len(found.drawn))[: len(found.drawn)] / found.labels.size
    score = _score(found)
    scores = None if score is None else score.iou()
    order = np.argsort(-shares, kind="stable").tolist()
    shown = [index for index in order if shares[index] or len(found.drawn) <= _MOST_CLASSES][:_MOST_CLASSES]
    rows = [_row(found, index, shares[index], [] if scores is None else [_percent(scores[index])]) for index in shown]
    head = ["class", "share", ""] + ([] if scores is None else ["IoU"])
    left_out = len(found.drawn) - len(shown)
    return _table("Classes", head, rows) + (f"<p>and {left_out} more</p>" if left_out else "")


def probabilities(found: Segmented, x: int, y: int) -> str:
    """Return the probability of every class at a pixel of the image as an HTML table, the most likely first."""
    height, width = found.labels.shape
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    values = found.probabilities[:, y, x].astype(np.float64)
    rows = [_row(found, index, values[index], []) for index in np.argsort(-values)[:_MOST_CLASSES].tolist()]
    return _table(f"Probabilities at x {x}, y {y}", ["class", "probability", ""], rows)


def object_rows(found: Segmented) -> list[list[object]]:
    """Return the values of `OBJECT_COLUMNS` of the largest objects."""
    return [
        [
            number,
            _words(entry.name),
            round(100 * entry.share, 2),
            entry.area,
            int(entry.centroid[0]),
            int(entry.centroid[1]),
            None if entry.probability is None else round(100 * entry.probability, 1),
        ]
        for number, entry in enumerate(found.objects[:_MOST_OBJECTS], start=1)
    ]


def features(found: Segmented, stage: int) -> str:
    """Return what SCM and FRM of the last block of a stage see, as HTML.

    Raises:
        UserError: The model is a file, or has no FRM there.
    """
    import matplotlib

    from fanet.features import TITLES, refinement_maps, strength

    pixels = _reduced(found.source.pixels, -(-max(found.labels.shape) // _MOST_SEEN))
    maps = refinement_maps(network(found.model), pixels, stage)
    shown = {"F: what both are given": maps.maps["F"]}
    if maps.context is not None:
        shown["SCM: output"] = maps.context
    shown |= {f"FRM: {TITLES[name]}": values for name, values in maps.maps.items() if name != "F"}
    figures = []
    for title, values in shown.items():
        root, (low, high) = strength(values)
        colours = matplotlib.colormaps["viridis"]((root - low) / max(high - low, 1e-12), bytes=True)[..., :3]
        caption = f"{escape(title)} <small>{values.shape[1]} × {values.shape[2]}</small>"
        figures.append(
            f'<figure><img src="{_data_url(colours)}" alt="{escape(title)}"><figcaption>{caption}</figcaption></figure>'
        )
    note = f"Stage {stage}, block {maps.block}: bright is strong, each map on its own scale."
    return f'<p>{note}</p><div class="maps">{"".join(figures)}</div>'


def _zoom(found: Segmented) -> tuple[int, int]:
    """Return by which factors an image is reduced and enlarged to be shown."""
    longest = max(found.labels.shape)
    return -(-longest // _MOST_SHOWN), -(-_ENLARGED // longest)


def _score(found: Segmented) -> ConfusionMatrix | None:
    """Compare with the truth of a scene, if the model knows its classes and decides on every pixel."""
    if found.source.truth is None or found.drawn.names != ZEROWASTE.names:
        return None
    confusion = ConfusionMatrix(len(found.classes), found.classes.ignore_index)
    confusion.update(found.labels, found.source.truth)
    return confusion


def _row(found: Segmented, index: int, share: float, more: Iterable[str]) -> list[str]:
    """Return the cells of a class: its colour and name, a share as a number, and as a bar."""
    tinted = is_tinted(found.drawn, index)
    colour = "background: rgb({}, {}, {})".format(*found.drawn.palette[index]) if tinted else ""
    swatch = f'<span class="swatch" style="{colour}"></span>'
    bar = f'<span class="bar"><span style="width: {100 * share:.1f}%; {colour}"></span></span>'
    return [swatch + escape(_words(found.drawn.names[index])), f"{100 * share:.1f} %", bar, *more]


def _table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def cells(tag: str, values: Iterable[str]) -> Iterator[str]:
        yield from (f"<{tag}>{value}</{tag}>" for value in values)

    body = "".join(f"<tr>{''.join(cells('td', row))}</tr>" for row in rows)
    return (
        f'<table class="classes"><caption>{caption}</caption><thead><tr>{"".join(cells("th", head))}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _reduced(pixels: np.ndarray, step: int) -> np.ndarray:
    """Average blocks of `step` x `step` pixels: (H, W, C) uint8 -> (H/step, W/step, C), sizes rounded up"""
    if step == 1:
        return pixels
    return np.stack([np.asarray(Image.fromarray(channel).reduce(step)) for channel in np.moveaxis(pixels, 2, 0)], 2)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f} %"


def _data_url(pixels: np.ndarray) -> str:
    """Return an image (H, W, 3) uint8 as a URL that holds it."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
