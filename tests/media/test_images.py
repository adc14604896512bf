import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image

from fanet.errors import InputWarning, UserError
from fanet.media.formats import webp_pixels
from fanet.media.images import read_image, read_labels, read_orientation, write_png

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def _palette(transparent: bool) -> Image.Image:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putdata([0, 1])
    if transparent:
        image.info["transparency"] = 1
    return image


def _row(mode: str, *pixels: object) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    for x, pixel in enumerate(pixels):
        image.putpixel((x, 0), pixel)
    return image


def _sixteen(dtype: str = "<u2") -> Image.Image:
    return Image.fromarray(np.array([[0, 128, 129, 65535]], dtype=dtype))


# name of the case, image, suffix of the file, expected row of pixels
MODES: list[tuple[str, Image.Image, str, list[tuple[int, int, int]]]] = [
    ("rgb", _row("RGB", RED, BLUE), ".png", [RED, BLUE]),
    ("rgb tiff", _row("RGB", RED, BLUE), ".tiff", [RED, BLUE]),
    ("rgb bmp", _row("RGB", RED, BLUE), ".bmp", [RED, BLUE]),
    ("rgba", _row("RGBA", (*RED, 255), (*RED, 0), (0, 0, 0, 51)), ".png", [RED, WHITE, (204,) * 3]),
    ("grey", _row("L", 7, 200), ".png", [(7,) * 3, (200,) * 3]),
    ("grey with alpha", _row("LA", (7, 255), (7, 0)), ".png", [(7,) * 3, WHITE]),
    ("palette", _palette(transparent=False), ".png", [RED, GREEN]),
    ("palette with transparency", _palette(transparent=True), ".png", [RED, WHITE]),
    ("1 bit", _row("1", 0, 255), ".png", [BLACK, WHITE]),
    ("16-bit grey png", _sixteen(), ".png", [BLACK, BLACK, (1,) * 3, WHITE]),
    ("16-bit grey tiff", _sixteen(), ".tif", [BLACK, BLACK, (1,) * 3, WHITE]),
    ("16-bit big-endian tiff", _sixteen(">u2"), ".tif", [BLACK, BLACK, (1,) * 3, WHITE]),
    ("32-bit grey within 16 bits", _row("I", 0, 65535), ".tif", [BLACK, WHITE]),
    ("cmyk tiff", _row("CMYK", (0, 0, 0, 0), (0, 255, 255, 0)), ".tif", [WHITE, RED]),
]


@pytest.mark.parametrize(("image", "suffix", "expected"), [case[1:] for case in MODES], ids=[case[0] for case in MODES])
def test_every_pixel_format_becomes_rgb(tmp_path: Path, image: Image.Image, suffix: str, expected: list) -> None:
    path = tmp_path / f"image{suffix}"
    image.save(path)
    for pixels in (read_image(path), read_image(str(path)), read_image(image)):
        assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
        assert [tuple(pixel) for pixel in pixels[0]] == expected


@pytest.mark.parametrize(
    ("mode", "suffix", "options"),
    [("RGB", ".jpg", {"quality": 95}), ("CMYK", ".jpg", {"quality": 95}), ("RGB", ".webp", {"lossless": True})],
)
def test_lossy_formats_keep_their_colour(tmp_path: Path, mode: str, suffix: str, options: dict) -> None:
    path = tmp_path / f"image{suffix}"
    Image.new("RGB", (16, 16), (200, 60, 20)).convert(mode).save(path, **options)
    assert np.abs(read_image(path).astype(int) - (200, 60, 20)).max() <= 3


def test_reading_in_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    write_png(tmp_path / "image.png", np.zeros((300, 400, 3), np.uint8))
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(read_image, [tmp_path / "image.png"] * 200))
    assert warnings.filters == before


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="the image is empty: 0x5 pixels"):
        read_image(Image.new("RGB", (0, 5)))


def test_transparent_colour_of_an_rgb_png_becomes_white(tmp_path: Path) -> None:
    _row("RGB", RED, BLUE).save(tmp_path / "key.png", transparency=BLUE)
    assert [tuple(pixel) for pixel in read_image(tmp_path / "key.png")[0]] == [RED, WHITE]


def _png(side: tuple[int, int], bits: int, colour_type: int, data: bytes) -> bytes:
    """Return a PNG of a kind that Pillow cannot write; `side` is (width, height)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", *side, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("colour_type", "channels", "row", "expected"),
    [
        (2, 3, [65535, 0, 0, 0, 0x8040, 65535], [RED, (0, 128, 255)]),
        (6, 4, [65535, 0, 0, 65535, 65535, 0, 0, 0], [RED, WHITE]),
        (4, 2, [65535, 65535, 0, 0], [WHITE, WHITE]),
    ],
    ids=["rgb", "rgba", "grey with alpha"],
)
def test_16_bit_colour_is_reduced_to_8_bits(
    tmp_path: Path, colour_type: int, channels: int, row: list[int], expected: list
) -> None:
    path = tmp_path / "deep.png"
    data = b"\0" + struct.pack(f">{len(row)}H", *row)
    path.write_bytes(_png((len(row) // channels, 1), 16, colour_type, data))
    assert [tuple(pixel) for pixel in read_image(path)[0]] == expected


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str) -> None:
    image = Image.new("RGB", (32, 16), BLACK)
    image.paste(WHITE, (0, 0, 16, 16))  # the left half
    exif = image.getexif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    path = tmp_path / f"turned{suffix}"
    image.save(path, exif=exif)
    pixels = read_image(path)
    assert pixels.shape == (32, 16, 3)
    assert pixels[:16].mean() > 250 and pixels[16:].mean() < 5


@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_that_turns_an_image_is_found(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    Image.new("RGB", (32, 16)).save(path, exif=exif)
    expected = orientation if 1 < orientation < 9 else 1
    assert read_orientation(path) == read_orientation(path.read_bytes()) == expected


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_image_without_exif_is_not_turned(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (32, 16)).save(tmp_path / f"plain{suffix}")
    assert read_orientation(tmp_path / f"plain{suffix}") == 1


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp", ".png"])
def test_first_of_several_frames_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"frames{suffix}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in (WHITE, BLACK)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.warns(InputWarning, match="frames.*: only the first of its 2 (pages|frames) is read"):
        assert read_image(path).min() > 250


def test_image_of_8k_is_read_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "8k.png"
    Image.new("1", (7680, 4320), 1).save(path)
    assert read_image(path).shape == (4320, 7680, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [None, 3, 4])
def test_arrays_become_rgb(dtype: type, channels: int | None) -> None:
    top = np.iinfo(dtype).max
    array = np.full((2, 3) if channels is None else (2, 3, channels), top, dtype=dtype)
    array[0, 0] = 0
    pixels = read_image(array)
    assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8
    assert tuple(pixels[0, 0]) == (WHITE if channels == 4 else BLACK)
    assert tuple(pixels[1, 2]) == WHITE


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "must be uint8 or uint16, got float32"),
        (np.zeros((4, 4), bool), "got bool"),
        (np.zeros((3, 40, 40), np.uint8), r"must be \(H, W\).* got \(3, 40, 40\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"got \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "not empty"),
    ],
)
def test_array_that_is_no_image_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_image(array)


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def _encoded(image_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(_jpeg())).save(buffer, image_format)
    return buffer.getvalue()


FAULTS: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing", lambda path: None, "there is no file"),
    ("folder", lambda path: path.mkdir(), "is a folder"),
    ("empty", lambda path: path.touch(), "is empty"),
    ("text", lambda path: path.write_text("not an image\n" * 20), "is not an image"),
    ("cut-off jpeg", lambda path: path.write_bytes(_jpeg()[:-900]), "is truncated or damaged"),
    ("cut-off png", lambda path: path.write_bytes(_encoded("PNG")[:-900]), "is truncated or damaged"),
    ("cut-off tiff", lambda path: path.write_bytes(_encoded("TIFF")[:-900]), "is truncated or damaged|is not an image"),
    ("cut-off webp", lambda path: path.write_bytes(_encoded("WEBP")[:-900]), "is truncated or damaged|is not an image"),
    ("header only", lambda path: path.write_bytes(_jpeg()[:20]), "is truncated or damaged|is not an image"),
    ("huge", lambda path: path.write_bytes(_png((60000, 60000), 8, 2, b"")), "more than 178 million pixels"),
    ("float", lambda path: Image.new("F", (4, 4)).save(path, "TIFF"), "floating-point"),
    ("more than 16 bits", lambda path: Image.new("I", (4, 4), 70000).save(path, "TIFF"), "outside 0..65535"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_bad_file_is_reported_in_one_line_with_its_name(tmp_path: Path, make: Callable, message: str) -> None:
    path = tmp_path / "bad.img"
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("side", "message"),
    [(15000, "damaged or a trap: 225 million pixels in 0 kB"), (10**6, "more than the .* into this machine's memory")],
)
def test_small_file_that_claims_to_be_huge_is_refused_in_windows_too(side: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(_png((side, side), 8, 2, b""))
    with pytest.raises(UserError, match=f"bomb.png .*{message}"):
        read_image(tmp_path / "bomb.png", large=True)
    with pytest.raises(UserError, match="more than 178 million pixels, .*--window"):
        read_image(tmp_path / "bomb.png")


SIDE = 15000
WEBPS: dict[str, tuple[dict[str, Any], int, bytes]] = {  # how it is saved, and what there says how large it is
    "extended": (
        {"save_all": True, "append_images": [Image.new("RGB", (8, 6))]},
        24,
        2 * (SIDE - 1).to_bytes(3, "little"),
    ),
    "lossless": ({"lossless": True}, 21, (SIDE - 1 | SIDE - 1 << 14 | 1 << 28).to_bytes(4, "little")),
    "lossy": ({}, 26, 2 * SIDE.to_bytes(2, "little")),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("read", [lambda path: path, lambda path: path.read_bytes()], ids=["path", "bytes"])
@pytest.mark.parametrize("layout", WEBPS)
def test_webp_that_claims_to_be_huge_is_refused_before_its_canvas_is_allocated(
    layout: str, large: bool, read: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, place, claim = WEBPS[layout]
    path = tmp_path / "bomb.webp"
    Image.new("RGB", (8, 6), "red").save(path, **options)
    content = path.read_bytes()
    assert webp_pixels(content) == 48
    path.write_bytes(content[:place] + claim + content[place + len(claim) :])

    def allocate(*args: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr(PIL.Image, "open", allocate)
    with pytest.raises(UserError, match="a trap: 225 million pixels" if large else "more than 178 million pixels"):
        read_image(read(path), large=large)


def test_image_beyond_pillows_limit_is_read_for_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    pixels = np.random.default_rng(0).integers(256, size=(60, 50, 3), dtype=np.uint8)
    write_png(tmp_path / "map.png", pixels)
    with pytest.raises(UserError, match="more than 0 million pixels"):
        read_image(tmp_path / "map.png")
    np.testing.assert_array_equal(read_image(tmp_path / "map.png", large=True), pixels)
    assert PIL.Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setattr("fanet.media.images.most_pixels", lambda: 2000)
    with pytest.raises(UserError, match="more than the 0 million that fit"):
        read_image(tmp_path / "map.png", large=True)


def test_file_without_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "private.png")

    def refuse(*args: object) -> None:  # root may read anything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(PIL.Image, "open", refuse)
    with pytest.raises(UserError, match="no permission to read"):
        read_image(tmp_path / "private.png")


@pytest.mark.parametrize("palette", [None, [RED, GREEN, BLUE]])
def test_labels_survive_the_file(tmp_path: Path, palette: list | None) -> None:
    labels = np.array([[0, 1], [2, 255]], np.uint8) if palette is None else np.array([[0, 1], [2, 1]], np.uint8)
    write_png(tmp_path / "labels.png", labels, palette)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.png"), labels)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == ("L" if palette is None else "P")


def test_colour_image_survives_the_file(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "image.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), image)


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.int64), np.zeros((2, 2, 4), np.uint8), np.zeros(4, np.uint8)])
def test_array_that_png_cannot_hold_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        write_png(tmp_path / "x.png", array)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: Image.new("RGB", (4, 4)).save(path, "PNG"), "not a label map"),
        (lambda path: Image.new("I;16", (4, 4)).save(path, "PNG"), "not a label map"),
        (lambda path: Image.new("1", (4, 4)).save(path, "PNG"), "not a label map"),
        (lambda path: path.write_bytes(_png((4, 1), 4, 0, b"\0\x01\x23")), "not a label map"),
        (lambda path: Image.new("L", (4, 4)).save(path, "JPEG"), "JPEG, which changes class indices"),
        (lambda path: path.touch(), "is empty"),
    ],
    ids=["colour", "16 bits", "1 bit", "4 bits", "jpeg", "empty"],
)
def test_file_without_class_indices_is_refused(tmp_path: Path, make: Callable, message: str) -> None:
    make(tmp_path / "labels.png")
    with pytest.raises(UserError, match=message):
        read_labels(tmp_path / "labels.png")


def test_palette_of_few_bits_gives_indices_not_stretched_values(tmp_path: Path) -> None:
    image = _palette(transparent=False)
    image.save(tmp_path / "two_bits.png", bits=2)
    assert read_labels(tmp_path / "two_bits.png").tolist() == [[0, 1]]
