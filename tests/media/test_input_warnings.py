import re
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fanet.errors import InputWarning, UserError
from fanet.media.channels import count_pages, read_channels, read_pages
from fanet.media.images import read_image

from .test_images import _png

RNG = np.random.default_rng(0)


def _told(read: Callable[[], np.ndarray]) -> tuple[np.ndarray, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = read()
    assert all(isinstance(one.message, InputWarning) for one in caught)
    return pixels, [str(one.message) for one in caught]


def _values(high: int, dtype: type, shape: tuple[int, ...] = (20, 30)) -> np.ndarray:
    values = RNG.integers(0, high + 1, shape).astype(dtype)
    values.flat[:2] = 0, high
    return values


@pytest.mark.parametrize(("high", "bits"), [(255, 8), (1023, 10), (3000, 12), (16383, 14)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".bands.tif"])
def test_hardly_used_range_of_16_bits_is_told_with_its_factor(
    suffix: str, high: int, bits: int, tmp_path: Path
) -> None:
    path, channels = tmp_path / f"deep{suffix}", 3
    if suffix == ".npy":
        np.save(path, _values(high, np.uint16))
    elif suffix == ".bands.tif":
        channels = 5
        tifffile.imwrite(path, _values(high, np.uint16, (20, 30, 5)), photometric="minisblack")
    else:
        Image.fromarray(_values(high, np.uint16)).save(path)
    pixels, told = _told(lambda: read_channels(path, channels))
    assert pixels.max() == round(high / 257)
    assert len(told) == 1 and "\n" not in told[0]
    assert re.search(
        rf"deep.*use only 0\.\.{high} of 0\.\.65535.*of {bits} bits, multiply them by {65536 >> bits}", told[0]
    )


def test_hardly_used_range_of_16_bit_colours_is_told(tmp_path: Path) -> None:
    row = _values(4095, np.uint16, (4, 8, 3))
    data = b"".join(b"\0" + line.astype(">u2").tobytes() for line in row)
    (tmp_path / "deep.png").write_bytes(_png((8, 4), 16, 2, data))
    for channels in (3, 1):
        _, told = _told(lambda channels=channels: read_channels(tmp_path / "deep.png", channels))
        assert len(told) == 1 and "use only 0..4095" in told[0]


@pytest.mark.parametrize("high", [20000, 65535])
def test_dark_photograph_of_16_bits_is_read_without_a_word(high: int, tmp_path: Path) -> None:
    Image.fromarray(_values(high, np.uint16)).save(tmp_path / "night.png")
    assert not _told(lambda: read_image(tmp_path / "night.png"))[1]


def test_black_image_of_16_bits_is_read_without_a_word() -> None:
    assert not _told(lambda: read_image(np.zeros((4, 4), np.uint16)))[1]


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
@pytest.mark.parametrize("high", [1, 255, 4095])
def test_small_numbers_in_32_bits_are_refused_by_name(high: int, dtype: type, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "wide.tif", _values(high, dtype))
    with pytest.raises(UserError, match=f"wide.tif holds 32-bit integers from 0 to {high} of unknown range"):
        read_image(tmp_path / "wide.tif")


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_negative_values_are_refused_with_their_range(dtype: type, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "signed.tif", (_values(4095, np.int32) - 2000).astype(dtype))
    with pytest.raises(UserError, match="signed.tif has values from -2000 to 2095"):
        read_image(tmp_path / "signed.tif")


def test_wide_array_is_refused_with_the_name_of_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", _values(255, np.int64))
    with pytest.raises(UserError, match="wide.npy: an image array must be uint8 or uint16, got int64"):
        read_channels(tmp_path / "wide.npy")


def test_array_of_the_other_byte_order_is_read() -> None:
    values = _values(65535, np.uint16)
    np.testing.assert_array_equal(read_image(values.astype(">u2")), read_image(values))


def test_channel_that_varies_everywhere_is_told(tmp_path: Path) -> None:
    pixels = RNG.integers(1, 255, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "nir.png")
    _, told = _told(lambda: read_image(tmp_path / "nir.png"))
    assert len(told) == 1 and "composited on white" in told[0] and "near infrared" in told[0]


@pytest.mark.parametrize("alpha", [0, 255, "cut-out"])
def test_plain_transparency_is_composited_without_a_word(alpha: int | str, tmp_path: Path) -> None:
    pixels = np.full((20, 30, 4), 90, np.uint8)
    pixels[..., 3] = np.where(np.arange(30) < 15, 255, 0) if alpha == "cut-out" else alpha
    pixels[:, 14, 3] = 120  # an edge
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    assert not _told(lambda: read_image(tmp_path / "cut.png"))[1]


@pytest.mark.parametrize("extra", [(), (0,)])
def test_fourth_band_of_a_tiff_is_not_taken_for_transparency(extra: tuple[int, ...], tmp_path: Path) -> None:
    pixels = RNG.integers(256, size=(20, 30, 4), dtype=np.uint8)
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=extra or ("unspecified",))
    if not extra:  # as old programs leave it out
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages[0].tags[338].overwrite(0)
    rgb, told = _told(lambda: read_image(path))
    np.testing.assert_array_equal(rgb, pixels[..., :3])
    assert len(told) == 1 and "read without it" in told[0]
    np.testing.assert_array_equal(read_channels(path, 4), pixels)


@pytest.mark.parametrize(("count", "photometric"), [(5, "rgb"), (6, "rgb"), (4, "minisblack"), (7, "minisblack")])
def test_refusal_of_many_bands_names_their_number(count: int, photometric: str, tmp_path: Path) -> None:
    pixels = RNG.integers(256, size=(20, 30, count), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, planarconfig="contig")
    with pytest.raises(UserError, match=f"a.tif has {count} channels, but 3 are expected"):
        read_channels(tmp_path / "a.tif", 3)


def _pages(path: Path, count: int, **options: object) -> None:
    frames = [Image.new("RGB", (16, 12), (60 * index, 250 - 60 * index, 9)) for index in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png", ".avif"])
def test_every_page_is_read_and_the_first_alone_is_told(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"stack{suffix}"
    _pages(path, 4)
    assert count_pages(path) == 4
    pages = list(read_pages(path))
    assert [round(page[..., 0].mean() / 60) for page in pages] == [0, 1, 2, 3]
    first, told = _told(lambda: read_image(path))
    np.testing.assert_array_equal(first, pages[0])
    assert len(told) == 1 and "only the first of its 4" in told[0]


def test_preview_in_a_phones_photograph_is_no_page(tmp_path: Path) -> None:
    photograph, preview = (Image.new("RGB", size) for size in ((16, 12), (8, 6)))
    photograph.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[preview])
    assert count_pages(tmp_path / "phone.jpg") == 1
    assert not _told(lambda: read_image(tmp_path / "phone.jpg"))[1]


def test_photographs_of_a_stereo_camera_are_images_of_their_own(tmp_path: Path) -> None:
    _pages(tmp_path / "stereo.jpg", 2, format="MPO")
    assert len(list(read_pages(tmp_path / "stereo.jpg"))) == count_pages(tmp_path / "stereo.jpg") == 2
    assert "only the first of its 2 images is read" in _told(lambda: read_image(tmp_path / "stereo.jpg"))[1][0]


def test_photograph_whose_table_of_images_is_out_of_date_is_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "edited.jpg"
    _pages(path, 2, format="MPO")
    contents = path.read_bytes()
    path.write_bytes(contents[: contents.rindex(b"\xff\xd8\xff")])  # as editors leave it
    assert count_pages(path) == 1
    assert not _told(lambda: read_image(path))[1]


def test_overviews_of_a_tiff_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "map.tif") as file:
        for subfile, side in ((0, 64), (1, 32), (1, 16)):
            file.write(np.zeros((side, side, 3), np.uint8), photometric="rgb", subfiletype=subfile)
    assert count_pages(tmp_path / "map.tif") == 1
    assert not _told(lambda: read_image(tmp_path / "map.tif"))[1]


def test_damaged_page_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as file:
        for value in range(3):
            file.write(np.full((16, 16), value, np.uint8), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[1].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 4] = b"\xff" * 4
    path.write_bytes(data)
    first, second, third = read_pages(path)
    assert isinstance(second, UserError) and "stack.tif, page 2 is truncated or damaged" in str(second)
    assert (first.max(), third.max()) == (0, 2)


def test_file_is_told_of_once_however_many_pages_it_has(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for high in (900, 1000, 1001):
            file.write(_values(high, np.uint16), photometric="minisblack")
    _, told = _told(lambda: list(read_pages(tmp_path / "stack.tif")))
    assert len(told) == 1
    _, told = _told(lambda: read_image(tmp_path / "stack.tif"))
    assert len(told) == 1 and "first of its 3" in told[0] and "use only" in told[0]


def test_page_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for kind in (np.uint8, np.float32):
            file.write(np.zeros((9, 9), kind))
    assert "a.tif, page 2 holds floating-point values" in str(list(read_pages(tmp_path / "a.tif"))[1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("photometric", "expected"), [("minisblack", 0), ("miniswhite", 255)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_white_is_zero_where_the_file_says_so(kind: type, photometric: str, expected: int, channels: int, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), kind), photometric=photometric)
    assert (read_channels(tmp_path / "a.tif", channels) == expected).all()


@pytest.mark.parametrize(("channels", "colour"), [(1, (1000,)), (3, (1000, 2000, 3000))])
def test_transparent_value_of_sixteen_bits_is_composited(channels: int, colour: tuple[int, ...], tmp_path: Path):
    pixels = np.full((4, 5, channels), 65535, ">u2")
    pixels[:2], pixels[2:] = colour, 40000
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 5, 4, 16, channels - 1, 0, 0, 0)),
        (b"tRNS", struct.pack(f">{channels}H", *colour)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))),
        (b"IEND", b""),
    ]
    file = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + file)
    image = read_image(tmp_path / "a.png")
    assert (image[:2] == 255).all() and (image[2:] == 156).all()


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        (np.int8, (9, 9), "signed 8-bit integers"),
        (np.int16, (9, 9, 3), "16-bit signed integers"),
        (np.uint32, (9, 9, 3), "32-bit integers"),
        (np.float16, (9, 9), "16-bit floating-point values"),
        (np.float64, (9, 9), "64-bit floating-point values"),
        (np.float32, (9, 9, 3), "32-bit floating-point values"),
        (np.complex64, (9, 9), "64-bit complex numbers"),
    ],
)
def test_numbers_of_unknown_range_are_refused_by_name(kind: type, shape: tuple[int, ...], message: str, tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones(shape, kind), photometric="rgb" if len(shape) == 3 else "minisblack")
    with pytest.raises(UserError, match=f"a.tif holds {message}.*: save it with"):
        read_channels(tmp_path / "a.tif")


def test_signed_values_of_sixteen_bits_are_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), 30000, np.int16))
    assert "its values are signed" in _told(lambda: read_image(tmp_path / "a.tif"))[1][0]


@pytest.mark.parametrize("mode", ["CMYK", "LA", "RGBA", "P"])
def test_grey_is_that_of_the_colours_on_white(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 3), (200, 30, 90)).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(0)
    image.save(tmp_path / "a.tif")
    expected = np.asarray(Image.fromarray(read_image(tmp_path / "a.tif")).convert("L"))[..., None]
    np.testing.assert_array_equal(read_channels(tmp_path / "a.tif", 1), expected)
    assert (expected == 255).all() == (mode in ("LA", "RGBA"))


def test_floating_point_values_are_refused_as_grey_too() -> None:
    with pytest.raises(UserError, match="floating-point values"):
        read_channels(Image.new("F", (4, 3)), 1)


def test_libtiff_does_not_write_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", compression="zlib")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-500])
    with pytest.raises(UserError, match="a.tif is truncated"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
