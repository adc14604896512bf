import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fanet.classes import ZEROWASTE
from fanet.segmentation.evaluation.report.images import error_figure, figure, label_figure, tinted_figure


def decoded(html):
    with Image.open(BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0]))) as image:
        image.load()
    return image


@pytest.mark.parametrize(
    ("shape", "expected"), [((480, 640, 3), (320, 240)), ((1000, 10, 3), (3, 320)), ((40, 30, 3), (30, 40))]
)
def test_images_are_reduced_to_320_pixels_and_never_enlarged(shape, expected):
    html = figure(np.zeros(shape, np.uint8), "image", "a <photo>")
    assert decoded(html).size == expected
    assert f'width="{expected[0]}" height="{expected[1]}" alt="a &lt;photo&gt;"' in html


def test_photographs_become_jpeg_and_drawings_png():
    noise = np.random.default_rng(0).integers(256, size=(240, 320, 3), dtype=np.uint8)
    assert decoded(figure(noise, "", "")).format == "JPEG"
    assert decoded(figure(np.zeros_like(noise), "", "")).format == "PNG"


def test_images_with_other_channels_are_shown():
    for channels in (1, 2, 4, 8):
        assert decoded(figure(np.full((20, 30, channels), 9, np.uint8), "", "")).size == (30, 20)
        tinted_figure(np.full((20, 30, channels), 9, np.uint8), np.ones((20, 30), np.uint8), ZEROWASTE, "", "")


def test_labels_have_the_colours_of_their_classes_and_ignored_pixels_are_grey():
    labels = np.array([[1, 2], [255, 0]], np.uint8)
    pixels = np.array(decoded(label_figure(labels, ZEROWASTE, "truth", "")).convert("RGB"))
    assert [tuple(pixel) for pixel in pixels.reshape(-1, 3)] == [
        ZEROWASTE.palette[1],
        ZEROWASTE.palette[2],
        (150, 150, 150),
        ZEROWASTE.palette[0],
    ]


def test_wrong_pixels_are_red_and_ignored_ones_grey():
    labels, prediction = np.array([[1, 2, 255]], np.uint8), np.array([[1, 3, 0]], np.uint8)
    pixels = np.array(decoded(error_figure(labels, prediction, 255, "errors", "")).convert("RGB"))[0]
    assert [tuple(pixel) for pixel in pixels] == [(247, 247, 245), (214, 40, 40), (150, 150, 150)]
