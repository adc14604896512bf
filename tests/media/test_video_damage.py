from pathlib import Path

import av
import numpy as np
import pytest

from fanet.errors import InputWarning, UserError
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


@pytest.mark.parametrize("trouble", ["none", "breaks off", "damaged"])
@pytest.mark.parametrize("name", ["a.ts", "a.m2ts"])
def test_transport_stream_without_whole_packets_is_told(name: str, trouble: str, tmp_path: Path) -> None:
    length = 192 if name == "a.m2ts" else 188
    data = bytearray(clip(tmp_path / name, mpegts_m2ts_mode=str(int(length == 192))))
    if trouble == "breaks off":
        data = data[: len(data) // 2 // length * length + 50]
    elif trouble == "damaged":
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    (tmp_path / name).write_bytes(data)
    count, told = _read(tmp_path / name)
    assert (count == FRAMES and not told) if trouble == "none" else (f"{name}: only {count} " in told)


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
        cover.disposition = av.stream.Disposition.attached_pic.value
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(UserError, match="song.m4v holds no video"), open_video(tmp_path / "song.m4v"):
        pass


def test_transparent_frames_are_composited_on_white(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48, 4), np.uint8), format="bgra")))
        container.mux(stream.encode(None))
    with open_video(tmp_path / "a.mkv") as video:
        assert all((frame.pixels == 255).all() for frame in video.frames())


def test_second_video_of_a_file_is_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = [container.add_stream("ffv1", rate=25) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 32, 48, "gray"
        for stream in streams:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 48), np.uint8), format="gray")))
            container.mux(stream.encode(None))
    with pytest.warns(InputWarning, match="only the first of its 2 videos is read"), open_video(tmp_path / "a.mkv"):
        pass
