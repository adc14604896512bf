"""Images with other channels than red, green and blue: grey, near infrared beside colours, many bands."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from fanet.errors import UserError, needs_extra, one_line
from fanet.media.formats import is_tiff, may_have_pages, read_head
from fanet.media.images import called_by, decode, opened, read_image, rgb_of, translated, upright
from fanet.media.pages import note_pages, pages_of
from fanet.media.pixels import (
    Notes,
    array_to_rgb,
    check_bands,
    eight_bit,
    integers_of,
    is_reduced,
    note_reduced,
    warn_of,
)

# Tags of TIFF, and values of the last.
_BITS, _SAMPLES, _SAMPLE_FORMAT = 258, 277, 339
_NUMBERS = {1: "integers", 2: "signed integers", 3: "floating-point values"}
# Pillow's weights of red, green and blue in grey (ITU-R 601-2), in parts of 65536.
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
# Modes whose channels are kept as they are; the rest become RGB.
_PLAIN = ("L", "LA", "RGB", "RGBA", "CMYK")


def read_channels(
    source: str | Path | Image.Image | np.ndarray, channels: int = 3, name: str | None = None, large: bool = False
) -> np.ndarray:
    """Read an image with a number of channels: (H, W, channels) uint8.

    Three channels are RGB, as `read_image` returns them. One is grey, of colours their luminance. Any other number must
    be that of the file: four for colours and near infrared as RGBA, more as a TIFF with many bands or a NumPy array.
    16-bit values are divided by 257 and rounded. `InputWarning`s are those of `read_image`.

    Args:
        source: A file (what Pillow reads, `.npy`, or a TIFF with the extra "bands"), a PIL image, or an array (H, W) or
            (H, W, C) of uint8 or uint16.
        channels: Number of channels, 1 or more.
        name: How errors name a source that is not a file.
        large: Allow as many pixels as the machine's memory holds, instead of Pillow's limit.

    Raises:
        UserError: The file cannot be read, or the image has another number of channels.
    """
    called = called_by(source, name)
    notes: Notes = []
    array = _array_of(source, channels)
    if array is not None:
        pixels = _of_array(array, channels, called, notes)
    elif channels == 3:
        return _read_rgb(source, name, large)
    else:
        assert not isinstance(source, np.ndarray)
        pixels = decode(source, name, lambda image: _first(image, channels, called, notes), large)
    warn_of(called, notes)
    return pixels


def count_pages(path: Path, channels: int = 3) -> int:
    """Return the number of pages or frames of a file, 1 if it cannot be read.

    Pages of a TIFF that only together have as many channels as are asked for are one image.
    """
    if not may_have_pages(path) or (channels not in (1, 3) and is_tiff(read_head(path))):
        return 1
    try:
        with opened(path, large=True) as (image, called), translated(called):
            return len(pages_of(image))
    except UserError:
        return 1


def read_pages(path: Path, channels: int = 3, large: bool = False) -> Iterator[np.ndarray | UserError]:
    """Yield every page or frame of a file as `read_channels` reads the first, or what is wrong with it.

    Raises:
        UserError: The file cannot be opened.
    """
    told: set[str] = set()
    with opened(path, large=large) as (image, called):
        with translated(called):
            numbers = pages_of(image)
        for position, number in enumerate(numbers, 1):
            notes: Notes = []
            page = f"{called}, page {position}"
            try:
                with translated(page):
                    image.seek(number)
                    pixels = _convert(image, channels, page, notes)
            except UserError as error:
                yield error
                continue
            warn_of(called, [note for note in notes if note[0] not in told])  # once a file
            told.update(kind for kind, _ in notes)
            yield pixels


def visible(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 -> (H, W, 3) uint8 to look at: the first three channels, or the first one as grey"""
    return image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)


def _read_rgb(source: str | Path | Image.Image | np.ndarray, name: str | None, large: bool) -> np.ndarray:
    """Read an RGB image; if Pillow has no mode for its values or bands, say what they are."""
    try:
        return read_image(source, name, large)
    except UserError as error:
        if isinstance(source, str | Path) and isinstance(error.__cause__, UnidentifiedImageError):
            if fault := _fault_of_tiff(Path(source)):
                raise UserError(f"{source} {fault}") from error
        raise


def _array_of(source: str | Path | Image.Image | np.ndarray, channels: int) -> np.ndarray | None:
    """Return the values of an array, or of a file that Pillow has no modes for; None for all others."""
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, Image.Image):
        return None
    path = Path(source)
    if path.suffix.lower() == ".npy":
        return _load_array(path)
    if channels not in (1, 3) and is_tiff(read_head(path)) and not _fits_pillow(path, channels):
        return _decode_bands(path, channels)
    return None


def _of_array(array: np.ndarray, channels: int, name: str, notes: Notes) -> np.ndarray:
    if channels == 3 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))):
        return array_to_rgb(array[..., 0] if array.shape[2:] == (1,) else array, name, notes)
    return _fitting(eight_bit(array[..., None] if array.ndim == 2 else array, name, notes), channels, name)


def _fitting(pixels: np.ndarray, channels: int, name: str) -> np.ndarray:
    """Return pixels (H, W, channels), with the luminance of colours if one channel is asked for."""
    if pixels.ndim == 3 and channels == 1 and pixels.shape[2] in (3, 4):
        luma = ((pixels[..., :3] * _LUMA).sum(axis=2) + 32768) >> 16
        return luma.astype(np.uint8)[..., None]
    if pixels.ndim != 3 or pixels.size == 0 or pixels.shape[2] != channels:
        raise UserError(f"{name} has {_count(pixels)} channels, but {channels} are expected: choose images that fit")
    return np.ascontiguousarray(pixels)


def _first(image: Image.Image, channels: int, name: str, notes: Notes) -> np.ndarray:
    note_pages(image, notes)
    return _convert(image, channels, name, notes)


def _convert(image: Image.Image, channels: int, name: str, notes: Notes) -> np.ndarray:
    """Decode the current page of an image: (H, W, channels) uint8."""
    if channels in (1, 3):
        colours = rgb_of(image, name, notes)
        if channels == 3:
            return colours
        is_grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
        return np.ascontiguousarray(colours[..., :1]) if is_grey else _fitting(colours, 1, name)
    reduced = is_reduced(image)
    image = upright(image, name)
    check_bands(image, name, channels)
    if image.mode.startswith("I"):
        pixels = eight_bit(integers_of(image, name, notes), name, notes)
    else:
        pixels = np.asarray(image if image.mode in _PLAIN else image.convert("RGB"))
    if reduced:
        note_reduced(pixels, notes)
    return _fitting(pixels[..., None] if pixels.ndim == 2 else pixels, channels, name)


def _fits_pillow(path: Path, channels: int) -> bool:
    """Return whether Pillow has a mode for a TIFF of so many channels."""
    try:
        with opened(path) as (image, _):
            return len(image.getbands()) == channels
    except UserError:
        return False


def _fault_of_tiff(path: Path) -> str:
    """Say why Pillow has no mode for a TIFF: its numbers or its channels. Empty for other files."""
    if not is_tiff(read_head(path)):
        return ""
    try:
        with path.open("rb") as file:
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
        count, bits, kind = (_tag_of(directory, tag, 1) for tag in (_SAMPLES, _BITS, _SAMPLE_FORMAT))
    except Exception:  # whatever is wrong with it, there is an error about it already
        return ""
    if kind != 1 or bits not in (8, 16):
        numbers = _NUMBERS.get(kind, "complex numbers")
        return f"holds {bits}-bit {numbers}: save it with 8 or 16 bits per channel, unsigned"
    return f"has {count} channels, but 3 are expected: choose images that fit" if count > 1 else ""


def _tag_of(directory: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> int:
    value = directory.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _decode_bands(path: Path, channels: int) -> np.ndarray:
    with needs_extra("bands", "tifffile"):
        import tifffile
    try:
        bands = tifffile.imread(path)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as error:  # whatever a decoder raises at damaged files
        raise UserError(f"{path} is truncated or damaged ({one_line(error)})") from error
    if not isinstance(bands, np.ndarray):
        raise UserError(f"{path} holds no image")
    is_planar = bands.ndim == 3 and bands.shape[0] == channels != bands.shape[2]
    return np.moveaxis(bands, 0, -1) if is_planar else bands


def _load_array(path: Path) -> np.ndarray:
    try:
        # mapped first: a damaged header may ask for more memory than there is, but not for more than the file has
        return np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as error:  # NumPy parses the header as Python
        raise UserError(f"{path} is truncated or not an array that NumPy saved ({one_line(error)})") from error


def _count(pixels: np.ndarray) -> str:
    return str(pixels.shape[2]) if pixels.ndim == 3 else f"{pixels.ndim} axes instead of"
