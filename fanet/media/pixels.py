"""From the pixels of any mode or array to 8 bits per channel. What may not mean what it seems is noted."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from fanet.errors import InputWarning, UserError

# (kind, text) of what was left out or guessed at; the kind is the same in all files, the text follows the file's name
Notes = list[tuple[str, str]]

# White, as most viewers and browsers show behind transparent pixels.
_BACKDROP = 255
# 65535 = 255 * 257, so dividing by it maps the ends of the 16-bit range to the ends of the 8-bit range.
_SIXTEEN_TO_EIGHT = 257
_SIXTEEN = np.iinfo(np.uint16).max
# Values below it, of at most 14 bits, leave three quarters of the 16-bit range empty.
_FAR_BELOW = 1 << 14
_CAMERA_BITS = (8, 10, 12, 14)
# A larger share of half-transparent pixels is no outline, shadow or glass.
_VARIED = 0.5
_BLOCK = 64  # rows that are converted at a time

# Tags of TIFF.
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _SAMPLE_FORMAT, _DNG_VERSION = 258, 262, 277, 338, 339, 50706
_WHITE_IS_ZERO = 0  # a value of `_PHOTOMETRIC`
_SIGNED = 2  # a value of `_SAMPLE_FORMAT`
_ALPHA = (1, 2, 999)  # values of `_EXTRA` for transparency; 999 is Corel's
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # channels by the value of `_PHOTOMETRIC`


def warn_of(name: str, notes: Notes) -> None:
    """Warn of all notes on one image in one line."""
    if notes:
        kinds, texts = zip(*notes, strict=True)
        warnings.warn(InputWarning(f"{name}: {'; '.join(texts)}", "+".join(kinds)), stacklevel=3)


def image_to_rgb(image: Image.Image, name: str, notes: Notes) -> np.ndarray:
    """An image that is loaded and upright -> (H, W, 3) uint8 RGB

    Raises:
        UserError: Its values are of unknown range, or it has more than one channel beside its colours.
    """
    if image.mode == "F":
        raise UserError(f"{name} holds floating-point values of unknown range: save it with 8 or 16 bits per channel")
    if image.mode.startswith("I"):
        values = integers_of(image, name, notes)
        pixels = array_to_rgb(values, name, notes)
        if isinstance(transparent := image.info.get("transparency"), int):
            pixels[values == transparent] = _BACKDROP
        return pixels
    if _tag(image, _SAMPLE_FORMAT, 1) == _SIGNED:
        raise UserError(f"{name} holds signed 8-bit integers: save it with unsigned ones, from 0 to 255")
    if has_alpha(image, name, notes):
        return _composited(image, notes)
    return _by_rows(image, lambda block: np.asarray(block if block.mode == "RGB" else block.convert("RGB")))


def array_to_rgb(array: np.ndarray, name: str, notes: Notes) -> np.ndarray:
    """(H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16 -> (H, W, 3) uint8

    Raises:
        UserError: It has another shape or type, or is empty.
    """
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise UserError(
            f"{name}: an image array must be (H, W), (H, W, 3) or (H, W, 4) and not empty, got {array.shape}"
        )
    array = eight_bit(array, name, notes)
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] == 4:
        return _composited(Image.fromarray(array), notes)
    return np.ascontiguousarray(array)


def eight_bit(array: np.ndarray, name: str, notes: Notes) -> np.ndarray:
    """Convert uint16 values to uint8, by dividing by 257 and rounding; uint8 values stay.

    Raises:
        UserError: The values are of another type.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "u" or array.dtype.itemsize != 2:
        raise UserError(
            f"{name}: an image array must be uint8 or uint16, got {array.dtype}: scale it to 0..255 and convert it"
        )
    if array.size:
        _note_range(int(array.min()), int(array.max()), notes)
    result = np.empty(array.shape, dtype=np.uint8)
    for top in range(0, len(array), _BLOCK):
        rows = array[top : top + _BLOCK].astype(np.uint32)
        result[top : top + _BLOCK] = (rows + _SIXTEEN_TO_EIGHT // 2) // _SIXTEEN_TO_EIGHT
    return result


def integers_of(image: Image.Image, name: str, notes: Notes) -> np.ndarray:
    """Return the values of an image of wide integers as uint16; Pillow gives some 16-bit files 32-bit pixels.

    Raises:
        UserError: They do not fit, or are 32-bit integers that use so little of 16 bits that their range is unknown.
    """
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _SIXTEEN:
        raise UserError(
            f"{name} has values from {low} to {high}, outside 0..65535: save it with 8 or 16 bits per channel"
        )
    # PNG and Netpbm have no 32-bit values, so theirs are 16-bit values of a known range
    is_wide = image.mode == "I" and image.format not in ("PNG", "PPM") and _tag(image, _BITS, 32) == 32
    if is_wide and 0 < high < _FAR_BELOW:
        raise UserError(
            f"{name} holds 32-bit integers from {low} to {high} of unknown range: "
            "scale them to the range of 8 or 16 bits and save it so"
        )
    if not is_wide and _tag(image, _SAMPLE_FORMAT, 1) == _SIGNED:
        notes.append(("signed", "its values are signed, so at most 32767, and are read as of 0..65535"))
    values = values.astype(np.uint16, copy=False)
    return _SIXTEEN - values if _tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO else values


def is_reduced(image: Image.Image) -> bool:
    """Return whether Pillow will drop the low bytes of 16-bit colours; must be asked before it is loaded."""
    tiles = getattr(image, "tile", None)
    args = tiles[0][3] if tiles else ""
    raw_mode = args[0] if isinstance(args, tuple) and args else args
    return isinstance(raw_mode, str) and ";16" in raw_mode and not image.mode.startswith("I")


def reduce_transparency(image: Image.Image) -> None:
    """Reduce the transparent colour of a file of 16 bits as Pillow reduces its pixels."""
    if isinstance(colour := image.info.get("transparency"), tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def note_reduced(pixels: np.ndarray, notes: Notes) -> None:
    """Note a range that is hardly used, of colours that Pillow has reduced from 16 to 8 bits."""
    high = int(pixels.max())
    if high:
        _note_range(int(pixels.min()) << 8, (high << 8) + 255, notes)


def check_bands(image: Image.Image, name: str, channels: int) -> None:
    """Check that an image has no channels that Pillow would drop without a word.

    Raises:
        UserError: There are two or more beside its colours.
    """
    if len(_undeclared(image)) > 1:
        count = _tag(image, _SAMPLES, 1)
        raise UserError(f"{name} has {count} channels, but {channels} are expected: choose images that fit")


def has_alpha(image: Image.Image, name: str, notes: Notes) -> bool:
    """Return whether an image is transparent; note a fourth channel that is not declared to be transparency."""
    check_bands(image, name, 3)
    extra = _undeclared(image)
    if extra and extra[0] not in _ALPHA:
        notes.append(
            ("bands", "it has a channel beside its colours, not declared as transparency, and is read without it")
        )
        return False
    return image.has_transparency_data


def is_dng(image: Image.Image) -> bool:
    """Return whether a TIFF is raw data of a camera."""
    return _DNG_VERSION in getattr(image, "tag_v2", ())


def _undeclared(image: Image.Image) -> Sequence[int]:
    """Return what a TIFF says about each of its channels beside the colours, 0 for nothing."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or getattr(image, "format", None) != "TIFF":
        return ()
    count = int(tags.get(_SAMPLES, 1)) - _COLOURS.get(tags.get(_PHOTOMETRIC, 1), int(tags.get(_SAMPLES, 1)))
    declared = tags.get(_EXTRA, ())
    declared = declared if isinstance(declared, tuple) else (declared,)
    return [*declared, *[0] * count][: max(0, count)]


def _tag(image: Image.Image, tag: int, default: int) -> int:
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _note_range(low: int, high: int, notes: Notes) -> None:
    """Note values of 16 bits that are all so small that they are of fewer bits, or almost black."""
    if 0 < high < _FAR_BELOW:
        bits = next(bits for bits in _CAMERA_BITS if high < 1 << bits)
        notes.append(
            (
                "range",
                f"its values use only {low}..{high} of 0..65535, which is almost black: "
                f"if they are of {bits} bits, multiply them by {1 << (16 - bits)} and save it again",
            )
        )


def _composited(image: Image.Image, notes: Notes) -> np.ndarray:
    """Composite an image on white."""
    varied = 0

    def composite(block: Image.Image) -> np.ndarray:
        nonlocal varied
        rgba = np.asarray(block if block.mode == "RGBA" else block.convert("RGBA"))
        colour, alpha = rgba[..., :3].astype(np.uint16), rgba[..., 3:].astype(np.uint16)
        varied += int(((alpha > 0) & (alpha < 255)).sum())
        return (colour * alpha + _BACKDROP * (255 - alpha) + 127) // 255

    pixels = _by_rows(image, composite)
    if varied > _VARIED * image.width * image.height:
        notes.append(
            (
                "alpha",
                "it is half-transparent almost everywhere and was composited on white: "
                "if its fourth channel is a band such as near infrared, save the three colours alone",
            )
        )
    return pixels


def _by_rows(image: Image.Image, convert: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """Convert an image to (H, W, 3), some rows at a time, as Pillow and NumPy make several copies of each."""
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, _BLOCK):
        pixels[top : top + _BLOCK] = convert(image.crop((0, top, image.width, min(top + _BLOCK, image.height))))
    return pixels
