import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from fanet.errors import InputWarning, UserError
from fanet.media.channels import count_pages, read_channels, read_pages
from fanet.media.formats import is_image_file, is_video
from fanet.media.images import read_image, read_labels, read_orientation
from fanet.media.video import open_video

from .mutations import good_files, good_videos, mutations

resource = pytest.importorskip("resource", reason="Windows counts no memory by `getrusage`")

SECONDS_A_FILE = 10


def _frames(path: Path) -> None:
    with open_video(path) as clip:
        for _ in clip.frames():
            pass


READERS: list[Callable[[Path], object]] = [
    read_image,
    lambda path: read_image(path, large=True),
    lambda path: read_image(path.read_bytes()),
    lambda path: read_channels(path, 1),
    lambda path: read_channels(path, 4),
    lambda path: read_channels(path, 6),
    lambda path: list(read_pages(path)),
    count_pages,
    read_orientation,
    read_labels,
    is_image_file,
    is_video,
    lambda path: is_image_file(path.rename(path.with_suffix(""))),
]


def _try(path: Path, content: bytes, readers: list[Callable[[Path], object]]) -> None:
    for read in readers:
        path.write_bytes(content)
        start = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            try:
                read(path)
            except UserError as error:
                assert "\n" not in str(error)
        assert time.monotonic() - start < SECONDS_A_FILE


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_no_bytes_get_past_the_readers_of_images(seed: int, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, content in mutations(good_files(tmp_path), 100, seed):
        _try(tmp_path / name, content, READERS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20, "more than 1 GB (Linux counts in kB)"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_no_bytes_get_past_the_reader_of_videos(seed: int, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = good_videos(tmp_path) | {"png": b"\x89PNG\r\n\x1a\n"}
    for name, content in mutations(files, 60, seed):
        _try(tmp_path / name, content, [_frames, is_video])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20
