import numpy as np
import pytest
import tifffile
from PIL import Image

from fanet.errors import UserError
from fanet.media.channels import read_channels, visible


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(9, 7, 3), dtype=np.uint8)


def bands(count: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(count).integers(np.iinfo(dtype).max, size=(9, 7, count)).astype(dtype)


def test_grey_of_colours_is_pillows(rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "a.png")
    expected = np.asarray(Image.fromarray(rgb).convert("L"))[..., None]
    for source in (rgb, Image.fromarray(rgb), tmp_path / "a.png"):
        np.testing.assert_array_equal(read_channels(source, 1), expected)


@pytest.mark.parametrize(("mode", "count"), [("L", 1), ("LA", 2), ("RGBA", 4), ("CMYK", 4)])
def test_channels_of_a_file_are_kept_as_they_are(mode, count, tmp_path):
    pixels = bands(count)
    Image.fromarray(pixels[..., 0] if count == 1 else pixels, mode).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_channels(tmp_path / "a.tif", count), pixels)


@pytest.mark.parametrize("count", [2, 5, 13])
def test_many_bands_come_from_tiff_and_numpy(count, tmp_path):
    pixels = bands(count)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    planes = np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="minisblack", planarconfig="separate")
    np.save(tmp_path / "a.npy", pixels)
    for source in (pixels, tmp_path / "a.npy", tmp_path / "a.tif", tmp_path / "planes.tif"):
        np.testing.assert_array_equal(read_channels(source, count), pixels)


def test_sixteen_bits_are_divided_by_257(tmp_path):
    pixels = bands(5, np.uint16)
    np.save(tmp_path / "a.npy", pixels)
    np.testing.assert_array_equal(read_channels(tmp_path / "a.npy", 5), np.rint(pixels / 257).astype(np.uint8))


@pytest.mark.parametrize(("count", "wanted"), [(3, 4), (4, 13), (5, 3), (2, 1)])
def test_another_number_of_channels_is_refused_in_one_line(count, wanted, tmp_path):
    np.save(tmp_path / "a.npy", bands(count))
    with pytest.raises(UserError, match=f"a.npy has {count} channels, but {wanted} are expected") as caught:
        read_channels(tmp_path / "a.npy", wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no array"])
def test_damaged_array_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UserError, match="a.npy is truncated or not an array") as caught:
        read_channels(tmp_path / "a.npy", 5)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "shown"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (13, [0, 1, 2])])
def test_visible_image_has_three_channels(count, shown):
    pixels = bands(count)
    np.testing.assert_array_equal(visible(pixels), pixels[..., shown])
