"""Images for a page: small, as data URIs; label maps in the colours of their classes; what differs between two."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from fanet.classes import ClassScheme
from fanet.media.channels import visible
from fanet.media.drawing import overlay
from fanet.segmentation.evaluation.report.page import Html, markup

_SIDE = 320  # pixels of the longer side
_COARSE = 160  # images that are smaller show their pixels
_QUALITY = 80  # of JPEG
_RIGHT, _WRONG, _IGNORED = (247, 247, 245), (214, 40, 40), (150, 150, 150)


def figure(image: np.ndarray, caption: str, alt: str) -> Html:
    """Return an image (H, W, C) uint8 with its caption, reduced to the size of the page's images."""
    return _figure(Image.fromarray(_reduced(visible(image), Image.Resampling.BOX)), caption, alt)


def label_figure(labels: np.ndarray, classes: ClassScheme, caption: str, alt: str) -> Html:
    """Return a label map (H, W) in the colours of its classes; ignored pixels are grey."""
    small = Image.fromarray(_reduced(labels, Image.Resampling.NEAREST))
    colours = [(0, 0, 0)] * 256
    colours[: len(classes)] = classes.palette
    colours[classes.ignore_index] = _IGNORED
    indexed = Image.frombytes("P", small.size, small.tobytes())
    indexed.putpalette([channel for colour in colours for channel in colour])
    return _figure(indexed, caption, alt)


def error_figure(labels: np.ndarray, prediction: np.ndarray, ignore_index: int, caption: str, alt: str) -> Html:
    """Return which pixels (H, W) of a prediction are wrong, in red; ignored pixels are grey."""
    colours = np.array([_RIGHT, _WRONG, _IGNORED], dtype=np.uint8)
    kinds = (labels != prediction).astype(np.uint8)
    kinds[labels == ignore_index] = 2
    return figure(colours[kinds], caption, alt)


def tinted_figure(image: np.ndarray, labels: np.ndarray, classes: ClassScheme, caption: str, alt: str) -> Html:
    """Return an image (H, W, C) uint8 with its labels (H, W) drawn on it."""
    return figure(overlay(np.ascontiguousarray(visible(image)), labels, classes), caption, alt)


def swatch(colour: tuple[int, int, int], name: str) -> Html:
    """Return the name of a class after a box in its colour."""
    return Html(f'<span class="swatch" style="background:rgb{tuple(map(int, colour))}"></span>{markup(name)}')


def legend(classes: ClassScheme) -> Html:
    """Return the names of all classes with their colours, and what ignored pixels look like."""
    names = [swatch(colour, name) for colour, name in zip(classes.palette, classes.names, strict=True)]
    entries = "".join(f"<span>{entry}</span> " for entry in [*names, swatch(_IGNORED, "ignored")])
    return Html(f'<p class="faint legend">{entries}</p>')


def _reduced(array: np.ndarray, method: Image.Resampling) -> np.ndarray:
    factor = _SIDE / max(array.shape[:2])
    if factor >= 1:
        return array
    height, width = (max(1, round(side * factor)) for side in array.shape[:2])
    return np.asarray(Image.fromarray(array).resize((width, height), method))


def _figure(image: Image.Image, caption: str, alt: str) -> Html:
    coarse = ' class="coarse"' if max(image.size) < _COARSE else ""
    return Html(
        f'<figure><img{coarse} src="{_data_uri(image)}" width="{image.width}" height="{image.height}" '
        f'alt="{markup(alt)}"><figcaption>{markup(caption)}</figcaption></figure>'
    )


def _data_uri(image: Image.Image) -> str:
    """Return an image as PNG or JPEG, whichever is smaller; indices of a palette always as PNG."""
    formats: list[tuple[str, dict]] = [("png", {"optimize": True})]
    if image.mode != "P":
        formats.append(("jpeg", {"quality": _QUALITY}))
    encoded = []
    for kind, options in formats:
        file = BytesIO()
        image.save(file, kind, **options)
        encoded.append((len(file.getvalue()), kind, file.getvalue()))
    _, kind, contents = min(encoded)
    return f"data:image/{kind};base64,{base64.b64encode(contents).decode()}"
