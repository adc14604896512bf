"""COCO's run lengths: pixels down the columns in runs, the first of them outside the object."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fanet.errors import UserError

_FIRST = 48  # the code of the character that stands for 0
_MORE, _NEGATIVE, _DIGIT = 0x20, 0x10, 0x1F
_DIGITS = 12  # of 5 bits in a number: more would not fit into 64 bits
_ONE_RUN = 12  # characters: the compressed run of a mask without a pixel has no more


def run_mask(runs: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """Decode an object's run lengths.

    Args:
        runs: `size`, height and width, and `counts`, a list of numbers, or all of them in one string as pycocotools
            compresses them.
        height: Height of the image.
        width: Width of the image.

    Returns:
        Whether each pixel is inside, (H, W) bool.

    Raises:
        UserError: The runs are malformed, or not of an image of this size.
    """
    counts = _numbers(runs.get("counts"))
    size = runs.get("size", [height, width])
    if not isinstance(size, Sequence) or list(size) != [height, width]:
        raise UserError(f"run lengths of size {size!r} in an image of {width}x{height}: size must be [height, width]")
    total = sum(counts.tolist())  # of Python's integers, which do not overflow
    if total != height * width or (counts < 0).any():
        raise UserError(f"run lengths for {total} pixels in an image of {width}x{height}")
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(width, height).T


def is_empty(runs: Mapping[str, Any]) -> bool:
    """Return whether run lengths are those of a mask without a pixel; malformed ones are left to `run_mask`."""
    counts, size = runs.get("counts"), runs.get("size")
    if isinstance(counts, str | bytes) and len(counts) > _ONE_RUN:
        return False
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int for side in size):
        return False
    try:
        numbers = _numbers(counts).tolist()
    except UserError:
        return False
    return not any(numbers[1::2]) and sum(numbers) == size[0] * size[1]


def _numbers(counts: Any) -> np.ndarray:
    """Return the lengths as int64."""
    if isinstance(counts, str | bytes):
        return decompress(counts)
    if not isinstance(counts, Sequence) or not all(type(count) is int and abs(count) < 2**62 for count in counts):
        raise UserError("run lengths must be a list of whole numbers or a string")
    return np.array(counts, dtype=np.int64)


def decompress(text: str | bytes) -> np.ndarray:
    """Return the numbers that pycocotools compressed to a string, (N,) int64.

    Each number is written in digits of 5 bits, the lowest first, as characters from `0` on; the sixth bit says that
    another digit follows, and the fifth bit of the last one is the sign. From the fourth number on, each is the
    difference from the one before the last.

    Raises:
        UserError: The string is not of this kind.
    """
    if isinstance(text, str) and text.startswith(("b'", 'b"')):  # bytes that Python's str() wrote
        try:
            text = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise UserError("the string of run lengths is damaged") from None
    raw = text.encode("utf-8") if isinstance(text, str) else text
    codes = np.frombuffer(raw, dtype=np.uint8).astype(np.int64) - _FIRST
    is_last = (codes & _MORE) == 0
    if codes.size and (codes.min() < 0 or codes.max() >= 2 * _MORE or not is_last[-1]):
        raise UserError("the string of run lengths is damaged")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64)[: len(ends)]
    lengths = ends - starts + 1
    if lengths.size and lengths.max() > _DIGITS:
        raise UserError("the string of run lengths is damaged")
    places = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & _DIGIT) << 5 * places, starts) if lengths.size else codes
    numbers -= np.where((codes[ends] & _NEGATIVE) != 0, np.left_shift(1, 5 * lengths), 0)
    if np.abs(numbers).max(initial=0) >= 2**31:
        raise UserError("the string of run lengths is damaged")
    for start in (1, 2):
        numbers[start::2] = np.cumsum(numbers[start::2])
    return numbers
