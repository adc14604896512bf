"""Images with other channels than red, green and blue: grey, near infrared beside colours, many bands."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fanet.errors import UserError, needs_extra
from fanet.media.images import eight_bit, read_image, reading

# Pillow's weights of red, green and blue in grey (ITU-R 601-2), in parts of 65536.
_LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
# Modes whose channels are kept as they are; the rest become RGB.
_PLAIN = ("L", "LA", "RGB", "RGBA", "CMYK", "I", "I;16", "I;16B", "I;16L")


def read_channels(
    source: str | Path | Image.Image | np.ndarray, channels: int = 3, name: str | None = None
) -> np.ndarray:
    """Read an image with a number of channels: (H, W, channels) uint8.

    Three channels are RGB, as `read_image` returns them. One is grey, of colours their luminance. Any other number must
    be that of the file: four for colours and near infrared as RGBA, more as a TIFF with many bands or a NumPy array.
    16-bit values are divided by 257 and rounded.

    Args:
        source: A file (what Pillow reads, `.npy`, or a TIFF with the extra "bands"), a PIL image, or an array (H, W) or
            (H, W, C) of uint8 or uint16.
        channels: Number of channels, 1 or more.
        name: How errors name a source that is not a file.

    Raises:
        UserError: The file cannot be read, or the image has another number of channels.
    """
    if isinstance(source, str | Path):
        name = str(source)
        is_array = Path(source).suffix.lower() == ".npy"
        source = _load_array(Path(source)) if is_array else source
    if channels == 3 and not (isinstance(source, np.ndarray) and source.ndim == 3 and source.shape[2] not in (1, 3, 4)):
        return read_image(source, name)
    called = name or "the image"
    pixels = source if isinstance(source, np.ndarray) else _decode(source, channels, called)
    pixels = eight_bit(pixels[..., None] if pixels.ndim == 2 else pixels)
    if pixels.ndim == 3 and channels == 1 and pixels.shape[2] in (3, 4):
        luma = ((pixels[..., :3] * _LUMA).sum(axis=2) + 32768) >> 16
        return luma.astype(np.uint8)[..., None]
    if pixels.ndim != 3 or pixels.size == 0 or pixels.shape[2] != channels:
        raise UserError(f"{called} has {_count(pixels)} channels, but {channels} are expected: choose images that fit")
    return np.ascontiguousarray(pixels)


def visible(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 -> (H, W, 3) uint8 to look at: the first three channels, or the first one as grey"""
    return image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)


def _decode(source: str | Path | Image.Image, channels: int, name: str) -> np.ndarray:
    """All channels of an image, (H, W) or (H, W, C)."""
    if (
        isinstance(source, str | Path)
        and Path(source).suffix.lower() in (".tif", ".tiff")
        and channels not in (1, 3, 4)
    ):
        return _decode_bands(Path(str(source)), channels)  # Pillow knows no modes for them
    with reading(source, name) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright if upright.mode in _PLAIN else upright.convert("RGB"))


def _decode_bands(path: Path, channels: int) -> np.ndarray:
    with needs_extra("bands", "tifffile"):
        import tifffile
    try:
        bands = tifffile.imread(path)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except Exception as error:  # whatever a decoder raises at damaged files
        raise UserError(f"{path} is truncated or damaged ({error})") from error
    is_planar = bands.ndim == 3 and bands.shape[0] == channels != bands.shape[2]
    return np.moveaxis(bands, 0, -1) if is_planar else bands


def _load_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is truncated or not an array that NumPy saved ({error})") from error


def _count(pixels: np.ndarray) -> str:
    return str(pixels.shape[2]) if pixels.ndim == 3 else f"{pixels.ndim} axes instead of"
