"""Read label maps as they are stored: values that stand for classes, or the colours of classes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from fanet.errors import UserError, one_line
from fanet.media.images import reading

# Pillow stretches grey values of 2 and 4 bits to 0..255; only the raw mode shows it.
_STRETCHED = {"L;2": 85, "L;2R": 85, "L;4": 17, "L;4R": 17}
# Raw modes of inverted grey (in TIFFs `WhiteIsZero`): what viewers show is not what is stored.
_INVERTED = ("1;I", "1;IR", "L;I", "L;IR", "L;2I", "L;2IR", "L;4I", "L;4IR")
_ONE_CHANNEL = ("1", "L", "P", "I", "F", "LA", "PA")
_HEADER = 1 << 16  # bytes in which a file's header ends
# JPEG 2000: the marker of the coding style, and the place of its transformation, 0 for the one that loses.
_CODING_STYLE, _TRANSFORMATION = b"\xff\x52", 13


class LabelMap(NamedTuple):
    """The pixels of a mask, as stored.

    Attributes:
        pixels: Values (H, W), of any integer type; or colours (H, W, 3), uint8.
        transparent: Which pixels are fully transparent, (H, W) bool; None without transparency.
    """

    pixels: np.ndarray
    transparent: np.ndarray | None = None


def read_values(source: str | Path | bytes, name: str | None = None) -> LabelMap:
    """Read a mask whose values stand for classes.

    Whatever holds whole numbers without loss is read: 1 to 32 bits in one channel, indices into a palette, colours with
    three equal channels, floating-point numbers without fractions, arrays that NumPy saved. Values are those stored,
    not stretched; transparency changes nothing; an EXIF orientation is applied, as to images.

    Args:
        source: The file or its contents.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is unreadable (as for `read_image`), has several pages, is compressed with loss, or holds
            colours, fractions or inverted values.
    """
    if isinstance(source, str | Path) and Path(source).suffix.lower() == ".npy":
        return LabelMap(_one_channel(_saved_array(Path(source)), str(source)))
    called = str(source) if isinstance(source, str | Path) else name or "the mask"
    with reading(source, name) as image:
        _require_lossless(image, source, called)
        raw_mode = _raw_mode(image)
        if raw_mode in _INVERTED:
            raise UserError(f"{called} stores inverted grey values (WhiteIsZero): save it as a PNG")
        image = _upright(image)
        if image.mode in ("RGB", "RGBA"):
            if "16" in raw_mode:
                raise UserError(f"{called} has three or four channels of 16 bits: save it with one channel")
            pixels = np.array(image)
            return LabelMap(_one_channel(pixels[..., :3], called), _fully_transparent(image))
        if image.mode not in _ONE_CHANNEL and not image.mode.startswith("I;16"):
            raise UserError(f"{called} is no mask of class indices, its pixels are {image.mode}: save it as a grey PNG")
        values = np.array(image.getchannel(0) if image.mode in ("LA", "PA") else image)
        if raw_mode in _STRETCHED:
            values //= _STRETCHED[raw_mode]
        # of a palette, transparency belongs to the index: there is nothing to tell apart
        return LabelMap(_one_channel(values, called), _fully_transparent(image) if image.mode in ("LA", "PA") else None)


def read_colours(source: str | Path | bytes, name: str | None = None) -> LabelMap:
    """Read a mask whose colours stand for classes: those stored, never composited with a background.

    Args:
        source: The file or its contents.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is unreadable (as for `read_image`), has several pages or is compressed with loss.
    """
    called = str(source) if isinstance(source, str | Path) else name or "the mask"
    with reading(source, name) as image:
        _require_lossless(image, source, called)
        image = _upright(image)
        if image.mode == "F" or image.mode.startswith("I"):
            raise UserError(f"{called} holds numbers, not colours: set mask_kind: index in dataset.yaml")
        transparent = _fully_transparent(image)
        # of RGBA the colours, which conversion to RGB keeps as they are
        return LabelMap(np.asarray(image if image.mode == "RGB" else image.convert("RGB")), transparent)


def _raw_mode(image: Image.Image) -> str:
    """How the file stores the pixels of an image that is not decoded yet, in Pillow's words."""
    tile = getattr(image, "tile", None)
    codec_args = tile[0][3] if tile else image.mode
    raw_mode = codec_args[0] if isinstance(codec_args, tuple) and codec_args else codec_args
    return raw_mode if isinstance(raw_mode, str) else image.mode


def _upright(image: Image.Image) -> Image.Image:
    """Decode an image and apply its EXIF orientation."""
    image.load()  # some formats hold the orientation after the pixels
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return ImageOps.exif_transpose(image)
    return image


def _fully_transparent(image: Image.Image) -> np.ndarray | None:
    if not image.has_transparency_data:
        return None
    return np.asarray(image.convert("RGBA").getchannel("A")) == 0


def _one_channel(values: np.ndarray, name: str) -> np.ndarray:
    """Any array of whole numbers, (H, W) or with equal channels (H, W, C) -> (H, W) integers."""
    if values.ndim == 3 and values.shape[2] in (1, 3, 4):
        first = values[..., 0]
        if any((first != values[..., channel]).any() for channel in range(1, min(3, values.shape[2]))):
            raise UserError(f"{name} holds colours: set mask_kind: colour and a palette in dataset.yaml")
        values = first
    if values.ndim != 2 or values.size == 0:
        raise UserError(f"{name} is no mask, its shape is {values.shape}: one value a pixel is needed")
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # nan, infinity and whatever no integer can hold
            whole = values.astype(np.int64)
        if (whole != values).any():
            raise UserError(f"{name} holds fractions, not class indices: save whole numbers as a PNG")
        return whole
    if values.dtype.kind not in "iu":
        raise UserError(f"{name} holds {values.dtype}, not class indices: save whole numbers as a PNG")
    return values


def _require_lossless(image: Image.Image, source: str | Path | bytes, name: str) -> None:
    """Refuse files of several pages, and those whose compression changes values.

    Raises:
        UserError: It is such a file.
    """
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise UserError(f"{name} has {pages} pages, a mask has one: save the page you need as a PNG")
    kind = image.format
    if kind in ("JPEG", "MPO", "AVIF", "HEIF"):
        lossy = True
    elif kind == "TIFF":
        lossy = "jpeg" in str(image.info.get("compression"))
    elif kind == "WEBP":
        lossy = b"VP8 " in _header(source)[:64]
    elif kind == "JPEG2000":
        header = _header(source)
        at = header.find(_CODING_STYLE) + _TRANSFORMATION
        lossy = header[at : at + 1] != b"\1"
    else:
        lossy = False
    if lossy:
        raise UserError(
            f"{name} is compressed with loss ({kind}), which changes class indices and colours: keep masks as PNG"
        )


def _header(source: str | Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEADER]
    with Path(source).open("rb") as file:
        return file.read(_HEADER)


def _saved_array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        # mapped, so that a header which promises more than the file holds is refused before memory is taken
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # whatever a header of random bytes makes NumPy raise
        raise UserError(f"{path} is truncated or not an array that NumPy saved ({one_line(error)})") from error
    if not isinstance(values, np.ndarray):
        values.close()
        raise UserError(f"{path} holds several arrays: save the one you need with numpy.save")
    return np.array(values)
