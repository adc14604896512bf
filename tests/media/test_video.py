from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fanet.errors import UserError
from fanet.media.formats import is_video
from fanet.media.video import _upright, open_video, write_labels_video, write_overlay_video

COLOURS = ((200, 30, 30), (20, 180, 40), (30, 40, 220), (128, 128, 128))


def write_clip(
    path: Path, size: tuple[int, int] = (64, 96), codec: str = "libx264", rate: int = 10
) -> list[np.ndarray]:
    """Write a video with a frame of each colour and return the frames."""
    frames = [np.full((*size, 3), colour, np.uint8) for colour in COLOURS]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return frames


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.m4v", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.MOV", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("a.mpg", "mpeg2video"),
        ("a.mpeg", "mpeg1video"),
        ("a.ts", "libx264"),
        ("a.webm", "libvpx"),
        ("a.wmv", "wmv2"),
    ],
)
def test_frames_keep_their_times_and_colours(name, codec, tmp_path):
    rate = 25 if codec.startswith("mpeg") and name.endswith("g") else 10  # MPEG-1 and 2 support few rates
    frames = write_clip(tmp_path / name, codec=codec, rate=rate)
    assert is_video(tmp_path / name)
    with open_video(tmp_path / name) as clip:
        read = list(clip.frames())
        assert clip.rate == rate
        times = [float(frame.pts * clip.time_base) for frame in read]
    assert np.diff(times) == pytest.approx(1 / rate, abs=0.002)
    for frame, expected in zip(read, frames, strict=True):
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("size", [(64, 96), (45, 71)])
def test_labels_survive_their_video(size, tmp_path):
    write_clip(tmp_path / "a.mp4")
    maps = np.random.default_rng(0).integers(256, size=(4, *size), dtype=np.uint8)
    with open_video(tmp_path / "a.mp4") as clip, write_labels_video(tmp_path / "labels.mkv", clip, size) as writer:
        for map_, frame in zip(maps, clip.frames(), strict=True):
            writer.write(map_, frame.pts)
    with av.open(str(tmp_path / "labels.mkv")) as container:
        read = [(frame.time, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    np.testing.assert_array_equal([map_ for _, map_ in read], maps)
    assert [time for time, _ in read] == pytest.approx([0, 0.1, 0.2, 0.3], abs=0.002)


def test_overlay_video_keeps_colours_and_takes_odd_sides(tmp_path):
    write_clip(tmp_path / "a.mp4")
    with open_video(tmp_path / "a.mp4") as clip, write_overlay_video(tmp_path / "b.mp4", clip, (45, 71)) as writer:
        for colour, frame in zip(COLOURS, clip.frames(), strict=True):
            writer.write(np.full((45, 71, 3), colour, np.uint8), frame.pts)
    with open_video(tmp_path / "b.mp4") as clip:
        for colour, frame in zip(COLOURS, clip.frames(), strict=True):
            assert frame.pixels.shape == (46, 72, 3)
            assert np.abs(frame.pixels.astype(int) - colour).max() < 12


def test_failure_leaves_no_partial_video(tmp_path):
    write_clip(tmp_path / "a.mp4")
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt), open_video(tmp_path / "a.mp4") as clip:
        with write_overlay_video(tmp_path / "out" / "b.mp4", clip, (64, 96)) as writer:
            writer.write(np.zeros((64, 96, 3), np.uint8), 0)
            raise KeyboardInterrupt
    assert not list((tmp_path / "out").iterdir())


def test_frames_are_turned_upright():
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    assert _upright(pixels, 0).tolist() == pixels.tolist()
    assert _upright(pixels, 90)[..., 0].tolist() == [[2, 5], [1, 4], [0, 3]]
    assert _upright(pixels, -90)[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert _upright(pixels, 180)[..., 0].tolist() == [[5, 4, 3], [2, 1, 0]]


def _sound(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
        container.mux(stream.encode(frame))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_bytes(bytes(range(256)) * 8), "truncated, damaged or not a video"),
        (_sound, "holds no video"),
    ],
    ids=["missing", "empty", "no video", "sound"],
)
def test_bad_video_is_reported_with_its_name(make, message, tmp_path):
    make(tmp_path / "bad.mkv")
    with pytest.raises(UserError, match=message) as error, open_video(tmp_path / "bad.mkv") as clip:
        list(clip.frames())
    assert "bad.mkv" in str(error.value)
