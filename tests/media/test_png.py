import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from fanet.classes import ZEROWASTE
from fanet.media.images import read_labels, write_png
from fanet.media.label_maps import read_values
from fanet.media.png import encode_png


@pytest.fixture(params=["isal", "zlib"])
def compressor(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)  # as if it were not installed


@pytest.mark.usefixtures("compressor")
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 2), (1, 1, 3), (33, 65, 3), (64, 3), (129, 40, 3)])
def test_pixels_survive_encoding(shape):
    array = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    for given in (array, array[::-1], np.zeros_like(array)):
        with Image.open(BytesIO(encode_png(given))) as image:
            assert image.format == "PNG" and image.mode == ("RGB" if array.ndim == 3 else "L")
            np.testing.assert_array_equal(np.array(image), given)


def test_indices_become_colours():
    array = np.array([[0, 1], [2, 255]], np.uint8)
    with Image.open(BytesIO(encode_png(array, [(1, 2, 3), (4, 5, 6)]))) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), array)
        assert np.array(image.convert("RGB"))[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_damage_is_noticed():
    data = bytearray(encode_png(np.zeros((20, 20), np.uint8)))
    data[-20] ^= 1
    with pytest.raises((OSError, SyntaxError)), Image.open(BytesIO(data)) as image:
        image.load()


@pytest.mark.usefixtures("compressor")
def test_label_map_of_one_class_is_small():
    assert len(encode_png(np.zeros((1080, 1920), np.uint8))) < 20_000


@pytest.mark.usefixtures("compressor")
def test_palette_changes_no_index_for_any_reader(tmp_path):
    labels = np.random.default_rng(0).integers(5, size=(33, 65), dtype=np.uint8)
    labels[0, 0] = 255
    write_png(tmp_path / "labels.png", labels, ZEROWASTE.palette)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P" and image.getpalette()[:15] == [
            value for colour in ZEROWASTE.palette for value in colour
        ]
        np.testing.assert_array_equal(np.array(image), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), labels)
    np.testing.assert_array_equal(read_values(tmp_path / "labels.png").pixels, labels)
