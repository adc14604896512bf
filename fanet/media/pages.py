"""The pages of a TIFF and the frames of an animation: which of them are images of their own, and how to read them."""

from PIL import Image

from fanet.media.pixels import Notes

# What the images of a file are called, if not frames.
_CALLED = {"TIFF": "pages", "HEIF": "images", "MPO": "images"}
# One image in several sizes or layers.
_ONE_IMAGE = ("ICO", "ICNS", "PSD")
_NEW_SUBFILE_TYPE = 254  # TIFF's tag; bit 0: another page at reduced size, bit 2: a mask of another page
_NO_PAGE = 1 | 4


def pages_of(image: Image.Image) -> list[int]:
    """Return the numbers, for `seek`, of the pages or frames of a file; overviews and masks of a page are not pages."""
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format in _ONE_IMAGE:
        return [0]
    if image.format not in ("TIFF", "MPO"):
        return list(range(count))
    first = image.tell()
    is_page = _is_page if image.format == "TIFF" else _is_photograph
    try:
        return [0, *(number for number in range(1, count) if is_page(image, number))]
    finally:
        if image.tell() != first:
            image.seek(first)


def _is_page(image: Image.Image, number: int) -> bool:
    image.seek(number)
    return not image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & _NO_PAGE  # type: ignore[attr-defined]


def _is_photograph(image: Image.Image, number: int) -> bool:
    """Return whether an image after the first in a camera's JPEG is as large: others are previews or maps of depth."""
    image.seek(0)
    first = image.mode, image.size
    try:
        image.seek(number)
    except Exception:  # whatever Pillow raises: editors drop the others and leave the table of all images as it was
        return False
    return (image.mode, image.size) == first


def note_pages(image: Image.Image, notes: Notes) -> None:
    """Note the pages of a file of which only the first is read."""
    if image.tell() == 0 and (count := len(pages_of(image))) > 1:
        notes.append(("pages", f"only the first of its {count} {_CALLED.get(image.format or '', 'frames')} is read"))
