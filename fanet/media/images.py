"""Read and write images: files of any common format become (H, W, 3) uint8 RGB."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.media.png import encode_png

#: In a folder, files with these suffixes (in any case) are images.
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff", ".webp")

# White, as most viewers and browsers show behind transparent pixels.
_BACKDROP = 255
# 65535 = 255 * 257, so dividing by it maps the ends of the 16-bit range to the ends of the 8-bit range.
_SIXTEEN_TO_EIGHT = 257
_BLOCK = 64  # rows that are copied at a time
# The chunks in which a PNG can hold an orientation; Pillow decodes the whole file to find those after the pixels.
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_image(source: str | Path | bytes | Image.Image | np.ndarray, name: str | None = None) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    Grey values fill all three channels; palettes are looked up; transparency is composited on white; 16-bit values
    are divided by 257 and rounded (Pillow itself reduces 16-bit colour files, by dropping the low byte); CMYK is
    converted without a colour profile; the EXIF orientation is applied. Of several frames or pages the first is read.

    Args:
        source: A file or its contents, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16,
            RGB(A) order. The result may share memory with an array.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is missing, unreadable, empty, truncated, too large or not an image; the values are
            floating-point numbers or exceed 16 bits, so their range is unknown; the array has another shape or type.
    """
    if isinstance(source, np.ndarray):
        return _array_to_rgb(source)
    with reading(source, name) as image:
        return _image_to_rgb(image, _called(source, name))


@contextmanager
def reading(source: str | Path | bytes | Image.Image, name: str | None = None) -> Iterator[Image.Image]:
    """Open an image for decoding within the block.

    Raises:
        UserError: As for `read_image`.
    """
    if isinstance(source, Image.Image):
        with _decoding(_called(source, name)):
            yield source
    else:
        with _opened(source, name) as (image, _):
            yield image


def _called(source: str | Path | bytes | Image.Image, name: str | None) -> str:
    """How errors name a source."""
    return str(source) if isinstance(source, str | Path) else name or "the image"


def read_orientation(source: str | Path | bytes, name: str | None = None) -> int:
    """Return the EXIF orientation that `read_image` applies to an image: 2..8, or 1 for none.

    Args:
        source: The file or its contents.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is unreadable, as for `read_image`.
    """
    with _opened(source, name) as (image, _):
        if image.format == "PNG":
            contents = source if isinstance(source, bytes) else Path(source).read_bytes()
            if not any(mark in contents for mark in _PNG_ORIENTATION):
                return 1
        orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    return orientation if orientation in range(2, 9) else 1


def read_labels(source: str | Path | bytes, name: str | None = None) -> np.ndarray:
    """Read a label map: the (H, W) uint8 class indices of an 8-bit file with one channel or a palette.

    Args:
        source: The file or its contents.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is unreadable (as for `read_image`), or its pixels are not class indices: colours, more or
            fewer than 8 bits, or values changed by JPEG.
    """
    with _opened(source, name) as (image, called):
        if image.format == "JPEG":
            raise UserError(f"{called} is a JPEG, which changes class indices: keep labels as PNG")
        # Pillow stretches grey values of 2 and 4 bits to 0..255; only the raw mode shows it.
        codec_args = image.tile[0][3] if image.tile else image.mode
        raw_mode = codec_args[0] if isinstance(codec_args, tuple) else codec_args
        if image.mode not in ("L", "P") or raw_mode in ("L;2", "L;4"):
            raise UserError(
                f"{called} is not a label map, its pixels are {raw_mode}: labels are class indices in one 8-bit channel"
            )
        return np.array(image, dtype=np.uint8)


def write_png(path: str | Path, array: np.ndarray, palette: Sequence[tuple[int, int, int]] | None = None) -> None:
    """Write a PNG whole or not at all.

    Args:
        path: The file; its folder must exist.
        array: uint8, (H, W, 3) RGB or (H, W) with one channel.
        palette: For (H, W) only: colours that viewers show; the stored values do not change.

    Raises:
        UserError: The folder does not exist or cannot be written to.
        ValueError: The array has another shape or type.
    """
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3 and not palette)):
        raise ValueError(f"expected uint8 (H, W), or (H, W, 3) without palette, got {array.dtype} {array.shape}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_png(array, palette or None))


class _Silence:
    """Silences Pillow's warnings while any thread is inside.

    `warnings.catch_warnings` alone is shared by all threads: those that overlap would leave its filter in place.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


_SILENCE = _Silence()


@contextmanager
def _opened(source: str | Path | bytes, name: str | None) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """Yield the image in a file or in its contents, and how errors name it; faults are translated within the block."""
    if isinstance(source, bytes):
        called = name or "the image"
        if not source:
            raise UserError(f"{called} is empty")
        with _decoding(called), Image.open(BytesIO(source)) as image:
            yield image, called
        return
    path = Path(source)
    _check_readable(path)
    with _decoding(str(path)), Image.open(path) as image:
        yield image, str(path)


def _check_readable(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: name an image file")
    try:
        size = path.stat().st_size
    except PermissionError as error:
        raise UserError(f"no permission to read {path}") from error
    except (OSError, ValueError) as error:
        raise UserError(f"there is no file {path}") from error
    if not path.is_file():
        raise UserError(f"{path} is not a regular file: name an image file")
    if size == 0:
        raise UserError(f"{path} is empty")


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Translate Pillow's errors on bad files; its warnings (odd metadata, a large size below the limit) are ignored."""
    try:
        with _SILENCE:
            yield
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"no permission to read {name}") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UserError(f"{name} has more than {limit} million pixels, the limit: cut it into tiles first") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        raise UserError(f"{name} is truncated or damaged ({error})") from error


def _image_to_rgb(image: Image.Image, name: str) -> np.ndarray:
    if 0 in image.size:
        raise UserError(f"{name} is empty: {image.width}x{image.height} pixels")
    image.load()  # some formats hold the orientation after the pixels
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)  # always copies, even if there is nothing to rotate
    if image.mode == "F":
        raise UserError(f"{name} holds floating-point values of unknown range: save it with 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        return _array_to_rgb(_sixteen_bit(np.asarray(image), name))
    if image.has_transparency_data:
        return _array_to_rgb(np.asarray(image.convert("RGBA")))
    return _copied(image if image.mode == "RGB" else image.convert("RGB"))


def _copied(image: Image.Image) -> np.ndarray:
    """Copy an image with three channels to (H, W, 3), some rows at a time, as Pillow makes several copies of each."""
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, _BLOCK):
        block = image.crop((0, top, image.width, min(top + _BLOCK, image.height)))
        pixels[top : top + _BLOCK] = np.asarray(block)
    return pixels


def _sixteen_bit(values: np.ndarray, name: str) -> np.ndarray:
    """Convert integers of any width to uint16 if they fit; Pillow gives some 16-bit files 32-bit pixels."""
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise UserError(f"{name} has values outside 0..65535: save it with 8 or 16 bits per channel")
    return values.astype(np.uint16)


def eight_bit(array: np.ndarray) -> np.ndarray:
    """Convert uint16 values to uint8, by dividing by 257 and rounding; uint8 values stay.

    Raises:
        UserError: The values are of another type.
    """
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + _SIXTEEN_TO_EIGHT // 2) // _SIXTEEN_TO_EIGHT).astype(np.uint8)
    if array.dtype != np.uint8:
        raise UserError(f"an image array must be uint8 or uint16, got {array.dtype}: scale it to 0..255 and convert it")
    return array


def _array_to_rgb(array: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16 -> (H, W, 3) uint8."""
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise UserError(f"an image array must be (H, W), (H, W, 3) or (H, W, 4) and not empty, got {array.shape}")
    array = eight_bit(array)
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 4:
        colour, alpha = array[..., :3].astype(np.uint16), array[..., 3:].astype(np.uint16)
        return ((colour * alpha + _BACKDROP * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(array)
