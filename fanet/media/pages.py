"""The pages of a TIFF and the frames of an animation: which of them are images of their own, and how to read them."""

from PIL import Image

from fanet.media.pixels import Notes

# MPO is missing: phones put a preview or a depth map after the photograph. So are icons, which hold one image in sizes.
_FORMATS = {"TIFF": "pages", "GIF": "frames", "PNG": "frames", "WEBP": "frames", "AVIF": "frames", "HEIF": "images"}
_NEW_SUBFILE_TYPE = 254  # TIFF's tag; bit 0: another page at reduced size, bit 2: a mask of another page
_NO_PAGE = 1 | 4


def pages_of(image: Image.Image) -> list[int]:
    """Return the numbers, for `seek`, of the pages or frames of a file; overviews and masks of a page are not pages."""
    if image.format not in _FORMATS:
        return [0]
    first, found = image.tell(), []
    try:
        for number in range(getattr(image, "n_frames", 1)):
            if image.format == "TIFF":
                image.seek(number)
                if image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & _NO_PAGE and number:  # type: ignore[attr-defined]
                    continue
            found.append(number)
    finally:
        if image.tell() != first:
            image.seek(first)
    return found


def note_pages(image: Image.Image, notes: Notes) -> None:
    """Note the pages of a file of which only the first is read."""
    if image.tell() == 0 and (count := len(pages_of(image))) > 1:
        notes.append(("pages", f"only the first of its {count} {_FORMATS[image.format or '']} is read"))
