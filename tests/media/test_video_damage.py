from pathlib import Path

import av
import numpy as np
import pytest

from fanet.errors import UserError
from fanet.media.video import DamagedVideoError, open_video
from fanet.media.video_ends import breaks_off

FRAMES = 30


def clip(path: Path, codec: str = "libx264", size: tuple[int, int] = (64, 96), **options: str) -> bytes:
    """Write a video and return its bytes."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = 5
        pixels = np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(pixels, index, 1), format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def _read(path: Path) -> tuple[int, str]:
    """Return the number of frames that can be read, and what is said about the rest."""
    count = 0
    with open_video(path) as video:
        try:
            for _ in video.frames():
                count += 1
        except DamagedVideoError as error:
            return count, str(error)
    return count, ""


KINDS = {
    "a.mp4": ("libx264", {"movflags": "faststart"}),
    "fragments.mp4": ("libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "a.mov": ("mpeg4", {"movflags": "faststart"}),
    "a.mkv": ("libx264", {}),
    "a.webm": ("libvpx", {}),
    "a.avi": ("mpeg4", {}),
    "a.flv": ("flv", {}),
    "a.h264": ("libx264", {}),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.6, 0.8, 0.9])
def test_recording_that_breaks_off_gives_its_frames_and_says_so(name: str, share: float, tmp_path: Path) -> None:
    codec, options = KINDS[name]
    data = clip(tmp_path / name, codec, **options)
    assert _read(tmp_path / name) == (FRAMES, "")
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    count, told = _read(tmp_path / name)
    assert 0 < count <= FRAMES and f"{name}: only {count} " in told and "frames could be read" in told
    if codec in ("libvpx", "mpeg4"):
        assert f"{count} of {FRAMES} frames" in told


@pytest.mark.parametrize("name", ["a.mp4", "fragments.mp4", "a.avi", "a.mov"])
def test_damage_in_the_middle_leaves_the_frames_around_it(name: str, tmp_path: Path) -> None:
    codec, options = KINDS[name]
    data = bytearray(clip(tmp_path / name, codec, **options))
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(1).bytes(400)
    (tmp_path / name).write_bytes(data)
    count, told = _read(tmp_path / name)
    assert 0 < count <= FRAMES and told


@pytest.mark.parametrize("name", KINDS)
def test_whole_file_does_not_break_off(name: str, tmp_path: Path) -> None:
    codec, options = KINDS[name]
    clip(tmp_path / name, codec, **options)
    assert not breaks_off(tmp_path / name)


def test_live_recording_without_a_length_does_not_break_off(tmp_path: Path) -> None:
    clip(tmp_path / "live.mkv", live="1")
    assert _read(tmp_path / "live.mkv") == (FRAMES, "")


def test_frames_until_their_size_changes_are_kept(tmp_path: Path) -> None:
    first, second = clip(tmp_path / "a.h264"), clip(tmp_path / "b.h264", size=(32, 48))
    (tmp_path / "both.h264").write_bytes(first + second)
    count, told = _read(tmp_path / "both.h264")
    assert count == FRAMES and "from there on frames are 48x32: split the video there" in told


def test_cover_of_an_album_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.m4v"), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(UserError, match="song.m4v holds no video"), open_video(tmp_path / "song.m4v"):
        pass
