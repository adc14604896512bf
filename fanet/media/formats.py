"""Which files are images and which are videos: by their ending where it says so, otherwise by their first bytes."""

from pathlib import Path

#: Files with these suffixes (in any case) are images; they are not opened to find out.
IMAGE_SUFFIXES = tuple(
    ".apng .avif .avifs .bmp .dib .gif .heic .heics .heif .heifs .hif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg "
    ".jpx .mpo .npy .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()
)
#: Files with these suffixes (in any case) are videos. The endings of transport streams are missing: `.ts` and `.mts`
#: are TypeScript's, too.
VIDEO_SUFFIXES = tuple(
    ".264 .265 .3g2 .3gp .asf .avi .dv .f4v .flv .h264 .h265 .hevc .ivf .m1v .m2v .m4v .mjpeg .mjpg .mkv .mov .mp4 "
    ".mpe .mpeg .mpg .mxf .ogv .qt .vob .webm .wmv .y4m".split()
)
_MOTION_JPEG = (".mjpeg", ".mjpg")  # starts as a JPEG does
#: Raw data of cameras, most of them TIFFs whose first page is a thumbnail.
RAW_SUFFIXES = tuple(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 .rwl "
    ".sr2 .srf .srw .x3f".split()
)

_HEAD = 512  # bytes that are read; in Ogg the codec's name is among them
_IMAGE_STARTS = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF and BigTIFF of either byte order
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000 file
    b"\xff\x4f\xff\x51",  # JPEG 2000 codestream
)
_VIDEO_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, Windows Media
    b"\0\0\x01\xba",  # MPEG programme stream
    b"\0\0\x01\xb3",  # MPEG-1 and MPEG-2 video
    b"YUV4MPEG2 ",
    b"DKIF",  # IVF
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
)
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
# Sizes of the header that follows a BMP's 14 bytes; "BM" alone starts texts, too.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image, by its suffix, or by its content if the suffix is not known."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    return suffix not in (*_MOTION_JPEG, *RAW_SUFFIXES) and _is_image(read_head(path))


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its suffix, unless its content says something else."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return suffix in _MOTION_JPEG or not _is_image(read_head(path))
    return suffix not in RAW_SUFFIXES and _is_video(read_head(path))


def is_raw(path: Path) -> bool:
    """Return whether a file holds the raw data of a camera, by its suffix."""
    return path.suffix.lower() in RAW_SUFFIXES


def is_heif(head: bytes) -> bool:
    """Return whether a file starts as HEIF, which Pillow cannot read on its own (AVIF, a kind of it, can be read)."""
    return head[4:8] == b"ftyp" and _brands(head)[:1] != [b"avif"] and any(b in _STILL_BRANDS for b in _brands(head))


def is_tiff(head: bytes) -> bool:
    """Return whether a file starts as a TIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def may_have_pages(path: Path) -> bool:
    """Return whether a file is of a format with pages or frames, and does not say at its start that it has only one."""
    head = read_head(path)
    if head[:4] == b"RIFF":
        return head[8:12] == b"WEBP" and head[12:16] == b"VP8X" and bool(head[20] & 2)  # the flag for an animation
    return is_tiff(head) or head[:4] in (b"\x89PNG", b"GIF8") or head[:2] == b"\xff\xd8" or head[4:8] == b"ftyp"


def read_head(path: Path) -> bytes:
    """Return the first bytes of a regular file; none of what cannot be read."""
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return b""
        with path.open("rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError):
        return b""


def webp_pixels(head: bytes) -> int:
    """Return how many pixels a WebP says that it has, by its first bytes; 0 for other files.

    Pillow allocates this canvas, twice, when it opens the file: before anything can be said about its size. The three
    layouts are those of the WebP container specification: extended, lossless (RFC 9649) and lossy (RFC 6386).
    """
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0
    if head[12:16] == b"VP8X":
        return (1 + int.from_bytes(head[24:27], "little")) * (1 + int.from_bytes(head[27:30], "little"))
    if head[12:16] == b"VP8L":
        sides = int.from_bytes(head[21:25], "little")
        return (1 + (sides & 0x3FFF)) * (1 + (sides >> 14 & 0x3FFF))
    return (int.from_bytes(head[26:28], "little") & 0x3FFF) * (int.from_bytes(head[28:30], "little") & 0x3FFF)


def _is_image(head: bytes) -> bool:
    if head.startswith(_IMAGE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    if head[4:8] == b"ftyp":
        return any(brand in _STILL_BRANDS for brand in _brands(head))
    if head[:2] == b"BM":
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    # Netpbm: P1..P6, then white space, then a number or a comment
    return head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace() and head[3:4] in b"0123456789# \n"


def _is_video(head: bytes) -> bool:
    if head.startswith(_VIDEO_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    if head[4:8] == b"ftyp":
        return not any(brand in _STILL_BRANDS for brand in _brands(head)) and head[8:12] not in _SOUND_BRANDS
    if head[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime without `ftyp`
        return True
    if head[:4] == b"OggS":
        return any(codec in head for codec in (b"\x80theora", b"OVP80", b"fishead\0"))
    if head[:1] == b"\x47" or head[4:5] == b"\x47":  # MPEG transport stream: a mark every 188 bytes, or 192 with times
        start, step = (0, 188) if head[:1] == b"\x47" else (4, 192)
        return head[start + step : start + step + 1] == b"\x47"
    return _is_annex_b(head)


def _is_annex_b(head: bytes) -> bool:
    """Return whether a stream starts with a parameter set or delimiter of H.264 or H.265."""
    for mark in (b"\0\0\0\x01", b"\0\0\x01"):
        if head.startswith(mark) and len(head) > len(mark) + 1:
            first, second = head[len(mark)], head[len(mark) + 1]
            return first in (0x09, 0x27, 0x47, 0x67) or (first in (0x40, 0x42, 0x46) and second == 1)
    return False


def _brands(head: bytes) -> list[bytes]:
    """Return the brands in the first box of an ISO media file, the major one first."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))]
