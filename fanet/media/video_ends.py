"""Whether a recording breaks off: its container states more bytes than the file has.

FFmpeg reads such files up to the break and then reports the end, as of a whole file.
Formats: https://www.rfc-editor.org/rfc/rfc8794 (EBML), ISO/IEC 14496-12 (MP4), Microsoft's RIFF.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67"
_SYNC = b"\x47"  # in each packet of a transport stream
_PACKETS = ((0, 188), (4, 192))  # where it is first, and bytes of a packet: plain, with a time in front
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # with which MP4 and QuickTime may start


def breaks_off(path: Path) -> bool:
    """Return whether a Matroska, WebM, AVI, MP4 or QuickTime file is shorter than it states.

    A transport stream states nothing, but ends within a packet, or has a damaged one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(200)
        if start[:4] == b"RIFF":
            return int.from_bytes(start[4:8], "little") + 8 > size
        file.seek(0)
        for first, length in _PACKETS:
            if start[first : first + length + 1 : length] == 2 * _SYNC:
                return _loses_packets(path, first, length)
        if start[:4] == _EBML:
            return _matroska_end(file, size) > size
        return start[4:8] in _BOXES and _mp4_end(file, size) > size


def _loses_packets(path: Path, first: int, length: int) -> bool:
    """Return whether a transport stream does not consist of whole packets."""
    contents = np.memmap(path, mode="r")
    return bool(len(contents) % length or (contents[first::length] != _SYNC[0]).any())


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Return where the first segment ends, 0 if it does not say (as live recordings)."""
    while file.tell() < size:
        mark = _number(file, keep_marker=True)
        length = _number(file, keep_marker=False)
        if mark is None or length is None:
            return 0
        if mark == int.from_bytes(_SEGMENT, "big"):
            return file.tell() + length
        file.seek(length, os.SEEK_CUR)
    return 0


def _number(file: BinaryIO, keep_marker: bool) -> int | None:
    """Read a number whose first byte tells its length; None if there is none, or all its bits are set: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()  # bytes that follow
    value = int.from_bytes(first + file.read(extra), "big")
    marker = 1 << (7 * (extra + 1))
    if keep_marker:
        return value
    return None if value == 2 * marker - 1 else value - marker


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Return where the last box ends that starts within the file."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: up to the end of the file; others are damaged
            return size
        end += length
    return end
