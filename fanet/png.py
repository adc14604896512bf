"""PNG files, written fast.

Pillow tries five filters on every row, which takes longer than the compression. Here all rows take the filter "Up",
the difference to the row above, and zlib looks for repeated bytes only, its strategy `Z_RLE`, made for PNG. On
photographs that takes less than half the time for files of about the same size; label maps even become smaller.
Format: https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3  # colour types
_UP = 2  # filter type


def encode_png(array: np.ndarray, palette: Sequence[tuple[int, int, int]] | None = None) -> bytes:
    """The contents of a PNG file with 8 bits per channel.

    Args:
        array: uint8, (H, W, 3) RGB, or (H, W) grey or, with a palette, indices into it.
        palette: RGB, at most 256 colours. Indices beyond it are shown black.
    """
    height, width = array.shape[:2]
    colour_type = _RGB if array.ndim == 3 else _GREY if palette is None else _PALETTE
    rows = array.reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    compressor = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    pixels = compressor.compress(filtered.data) + compressor.flush()

    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))]
    if palette is not None:
        # a viewer may refuse indices without a colour
        colours = [*palette, *[(0, 0, 0)] * (256 - len(palette))]
        chunks.append(_chunk(b"PLTE", bytes(channel for colour in colours for channel in colour)))
    return b"".join([_SIGNATURE, *chunks, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
