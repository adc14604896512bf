"""Read and write images: files of any common format become (H, W, 3) uint8 RGB."""

import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from fanet.errors import UserError, needs_extra, one_line
from fanet.files import atomic_path
from fanet.media.formats import is_heif, is_raw, read_head, webp_pixels
from fanet.media.formats import is_image_file as is_image_file  # for those who look for it here
from fanet.media.memory import most_pixels, release_freed_memory
from fanet.media.pages import note_pages
from fanet.media.pixels import (
    Notes,
    array_to_rgb,
    image_to_rgb,
    is_dng,
    is_reduced,
    note_reduced,
    reduce_transparency,
    warn_of,
)
from fanet.media.png import png_chunks
from fanet.media.quiet import silence_libtiff

Result = TypeVar("Result")

# The chunks in which a PNG can hold an orientation; Pillow decodes the whole file to find those after the pixels.
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")
# Formats that Pillow opens but that hold drawings, which other programs would have to paint.
_DRAWINGS = ("EPS", "WMF")
_RELEASED_FROM = 50 * 10**6  # pixels; a few milliseconds would matter for small images
# No format makes a photograph or a map smaller; what promises more may be made to fill the memory.
_PIXELS_PER_BYTE = 1000
_IS_RAW = "is the raw data of a camera: develop it to TIFF, PNG or JPEG first"


def read_image(
    source: str | Path | bytes | Image.Image | np.ndarray, name: str | None = None, large: bool = False
) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    Grey values fill all three channels; palettes are looked up; transparency is composited on white; 16-bit values
    are divided by 257 and rounded (Pillow itself reduces 16-bit colour files, by dropping the low byte); CMYK is
    converted without a colour profile; the EXIF orientation is applied. HEIF needs the extra "heif".

    One `InputWarning` says what was left out or may not mean what it seems: all pages or frames but the first; a fourth
    channel that is not declared as transparency; 16-bit values of which none needs more than 14 bits; a transparency
    that varies almost everywhere.

    Args:
        source: A file or its contents, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16,
            RGB(A) order. The result may share memory with an array.
        name: How errors name a source that is not a file.
        large: Allow as many pixels as the machine's memory holds, instead of Pillow's limit.

    Raises:
        UserError: The file is missing, unreadable, empty, truncated, too large or not an image; the values are
            floating-point numbers or integers of unknown range; the file has five channels or more; the array has
            another shape or type.
    """
    notes: Notes = []
    called = called_by(source, name)
    if isinstance(source, np.ndarray):
        pixels = array_to_rgb(source, called, notes)
    else:
        pixels = decode(source, name, lambda image: _first(image, called, notes), large)
    warn_of(called, notes)
    return pixels


def decode(
    source: str | Path | bytes | Image.Image,
    name: str | None,
    convert: Callable[[Image.Image], Result],
    large: bool = False,
) -> Result:
    """Open an image and convert it, with the faults of both translated.

    Raises:
        UserError: As for `read_image`.
    """
    if isinstance(source, Image.Image):
        with translated(called_by(source, name)):
            return convert(source)
    with opened(source, name, large) as (image, called), translated(called):
        with _LARGE if large else nullcontext():  # up to Pillow 12 cropping has the limit, too
            result = convert(image)
        pixels = image.width * image.height
    del image  # closing it has not freed its pixels
    if pixels > _RELEASED_FROM:
        release_freed_memory()
    return result


def _first(image: Image.Image, name: str, notes: Notes) -> np.ndarray:
    note_pages(image, notes)
    return rgb_of(image, name, notes)


def rgb_of(image: Image.Image, name: str, notes: Notes) -> np.ndarray:
    """Decode the current page of an image to (H, W, 3) uint8 RGB."""
    reduced = is_reduced(image)
    if reduced:
        reduce_transparency(image)
    pixels = image_to_rgb(upright(image, name), name, notes)
    if reduced:
        note_reduced(pixels, notes)
    return pixels


def upright(image: Image.Image, name: str) -> Image.Image:
    """Load an image, turned as its EXIF orientation says."""
    if 0 in image.size:
        raise UserError(f"{name} is empty: {image.width}x{image.height} pixels")
    image.load()  # some formats hold the orientation after the pixels
    if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)  # always copies, even if there is nothing to rotate
    turned.format = image.format
    if hasattr(image, "tag_v2"):
        turned.tag_v2 = image.tag_v2  # type: ignore[attr-defined]
    return turned


def called_by(source: str | Path | bytes | Image.Image | np.ndarray, name: str | None) -> str:
    """Return how errors name a source."""
    return str(source) if isinstance(source, str | Path) else name or "the image"


def read_orientation(source: str | Path | bytes, name: str | None = None) -> int:
    """Return the EXIF orientation that `read_image` applies to an image: 2..8, or 1 for none.

    Args:
        source: The file or its contents.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file is unreadable, as for `read_image`.
    """
    with opened(source, name) as (image, called), translated(called):
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
    with opened(source, name) as (image, called), translated(called):
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
    write_png_rows(path, array.shape, [array], palette)


def write_png_rows(
    path: str | Path,
    shape: Sequence[int],
    blocks: Iterable[np.ndarray],
    palette: Sequence[tuple[int, int, int]] | None = None,
) -> None:
    """Write a PNG of `shape`, as `write_png` does, from blocks of rows, of which one is in memory at a time."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.writelines(png_chunks(shape, blocks, palette or None))


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


class _LargeImages:
    """Lifts Pillow's limit of pixels while any thread is inside, unless the program has lifted it for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS = self._limit


_LARGE = _LargeImages()


@contextmanager
def opened(
    source: str | Path | bytes, name: str | None = None, large: bool = False
) -> Iterator[tuple[ImageFile.ImageFile, str]]:
    """Yield the image in a file or in its contents, not decoded yet, and how errors name it.

    Raises:
        UserError: As for `read_image`.
    """
    called = called_by(source, name)
    if isinstance(source, bytes):
        if not source:
            raise UserError(f"{called} is empty")
        head, size = source[:512], len(source)
    else:
        _check_readable(Path(source))
        if is_raw(Path(source)):
            raise UserError(f"{called} {_IS_RAW}")
        head, size = read_head(Path(source)), os.path.getsize(source)
    is_limited = Image.MAX_IMAGE_PIXELS is not None
    if large and is_limited:
        _check_large(webp_pixels(head), called, size)
    with translated(called), _LARGE if large else nullcontext():
        if webp_pixels(head) > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise Image.DecompressionBombError
        image = _open(source, head)
    with image:
        if image.format in _DRAWINGS:
            raise UserError(f"{called} is a drawing ({image.format}): save it as PNG first")
        if is_dng(image):
            raise UserError(f"{called} {_IS_RAW}")
        if image.format == "TIFF":
            silence_libtiff()
        if large and is_limited:
            _check_large(image.width * image.height, called, size)
        yield image, called


@contextmanager
def reading(source: str | Path | bytes, name: str | None = None) -> Iterator[Image.Image]:
    """Open an image for decoding within the block, with the faults of both translated.

    Raises:
        UserError: As for `read_image`.
    """
    with opened(source, name) as (image, called), translated(called):
        yield image


def _check_large(pixels: int, name: str, size: int) -> None:
    """Check the number of pixels of an image in a file of `size` bytes, if it is beyond Pillow's limit."""
    limit = most_pixels()
    if pixels <= 2 * (Image.MAX_IMAGE_PIXELS or pixels):
        return
    if pixels > limit:
        raise UserError(
            f"{name} has {_millions(pixels)} million pixels, more than the {_millions(limit)} million that fit into "
            "this machine's memory: cut it into tiles first"
        )
    if pixels > _PIXELS_PER_BYTE * size:
        raise UserError(f"{name} is damaged or a trap: {_millions(pixels)} million pixels in {size // 1000} kB")


def _open(source: str | Path | bytes, head: bytes) -> ImageFile.ImageFile:
    """Open an image, which starts with `head`, with Pillow, and HEIF with the help of pillow-heif."""
    file = BytesIO(source) if isinstance(source, bytes) else Path(source)
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        if not is_heif(head):
            raise
        with needs_extra("heif", "pillow_heif"):
            from pillow_heif import register_heif_opener
        register_heif_opener()
        return Image.open(file)


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
def translated(name: str) -> Iterator[None]:
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
        limit = _millions(2 * (Image.MAX_IMAGE_PIXELS or 0))
        raise UserError(
            f"{name} has more than {limit} million pixels, the limit without windows: "
            "predict it in windows (--window 1024 1024), or cut it into tiles first"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error and others
        raise UserError(f"{name} is truncated or damaged ({one_line(error)})") from error


def _millions(pixels: int) -> int:
    return pixels // 10**6
