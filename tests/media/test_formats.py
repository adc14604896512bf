import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.errors import UserError
from fanet.media.formats import is_image_file, is_video
from fanet.media.images import read_image

from .mutations import VIDEO_ENDINGS, good_videos

PIXELS = np.random.default_rng(0).integers(256, size=(16, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("name", ["IMG_0001", "picture.data", "scan.2024-05-01"])
def test_image_is_known_by_its_content_whatever_its_ending(kind: str, name: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name, kind)
    assert is_image_file(tmp_path / name) and not is_video(tmp_path / name)
    assert read_image(tmp_path / name).shape == PIXELS.shape


def test_image_with_the_ending_of_another_format_is_read(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "jpeg.png", "JPEG")
    assert read_image(tmp_path / "jpeg.png").shape == PIXELS.shape


@pytest.mark.parametrize(
    "suffix", ["avif", "JFIF", "jp2", "j2k", "gif", "ppm", "pgm", "tga", "Heic", "npy", "apng", "mpo"]
)
def test_known_ending_is_not_opened(suffix: str) -> None:
    assert is_image_file(Path(f"missing.{suffix}"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"P 1 is a note"),
        ("BMP-list", b"BM, a text that starts as a bitmap does"),
        ("labels.json", b'{"images": []}'),
        ("paper.pdf", b"%PDF-1.7\n"),
        ("set.zip", b"PK\x03\x04" + bytes(40)),
        ("drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("raw.NEF", b"MM\0*" + bytes(40)),
        ("page.ts", b"export const G = 1\n" * 30),
        ("song.m4a", b"\0\0\0\x1cftypM4A " + bytes(40)),
        ("song.ogg", b"OggS" + bytes(24) + b"\x01vorbis"),
        ("empty", b""),
    ],
)
def test_other_files_are_neither_images_nor_videos(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_image_file(tmp_path / name) and not is_video(tmp_path / name)


@pytest.mark.parametrize("ending", VIDEO_ENDINGS)
@pytest.mark.parametrize("name", ["CLIP0001", "belt.rec"])
def test_video_is_known_by_its_content_whatever_its_ending(ending: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(good_videos(tmp_path)[ending])
    assert is_video(tmp_path / name) and not is_image_file(tmp_path / name)


@pytest.mark.parametrize("suffix", ["3gp", "MJPEG", "h264", "264", "flv", "ogv", "m2v", "y4m"])
def test_known_ending_of_a_video_is_not_opened(suffix: str) -> None:
    assert is_video(Path(f"missing.{suffix}"))


def _heic(path: Path) -> None:
    path.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100))


def test_missing_reader_of_heic_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _heic(tmp_path / "IMG_1")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert is_image_file(tmp_path / "IMG_1")
    with pytest.raises(UserError, match=r'pillow_heif is not installed: pip install "fanet\[heif\]"'):
        read_image(tmp_path / "IMG_1")


def test_heic_is_read_with_its_extra(tmp_path: Path) -> None:
    import pillow_heif as heif

    heif.from_pillow(Image.new("RGB", (64, 48), (200, 10, 10))).save(tmp_path / "a.heic")
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - (200, 10, 10)).max() < 8
    _heic(tmp_path / "bad.heic")
    with pytest.raises(UserError, match="bad.heic"):
        read_image(tmp_path / "bad.heic")


@pytest.mark.parametrize("name", ["shot.nef", "shot.dng"])
def test_thumbnail_of_raw_data_is_not_taken_for_the_image(name: str, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / name, "TIFF")
    with pytest.raises(UserError, match="is the raw data of a camera: develop it"):
        read_image(tmp_path / name)


def test_drawing_is_refused_and_not_painted(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.eps")
    with pytest.raises(UserError, match="is a drawing"):
        read_image(tmp_path / "a.eps")
