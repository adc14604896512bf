"""Read and write videos frame by frame with PyAV (extra `video`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.files import atomic_path

#: Files with these suffixes (in any case) are videos.
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")

# H.264 plays everywhere; FFmpeg builds without it have MPEG-4. At a constant rate factor of 18 losses are invisible.
_OVERLAY_CODECS = (("libx264", {"crf": "18", "preset": "veryfast"}), ("mpeg4", {"qscale": "3"}))
_BT709 = 1  # FFmpeg's AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


@dataclass(frozen=True)
class Frame:
    """An upright image (H, W, 3) uint8 RGB, and its presentation time in units of the video's time base."""

    pixels: np.ndarray
    pts: int


class VideoFile:
    """A video that is being read.

    Attributes:
        count: Number of frames that the file states, None if it does not.
        rate: Frames per second.
        time_base: Seconds per unit of `Frame.pts`.
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path = path
        self._container = container
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.count: int | None = self._stream.frames or None
        self.rate: Fraction = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.time_base: Fraction = self._stream.time_base or 1 / self.rate

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order they are shown, with increasing times.

        Raises:
            UserError: The file is damaged, or its frames change size.
        """
        step = max(1, round(1 / (self.rate * self.time_base)))
        size, pts = None, -step
        with _decoding(self.path):
            for frame in self._container.decode(self._stream):
                pixels = _upright(frame.to_ndarray(format="rgb24"), frame.rotation)
                if size not in (None, pixels.shape):
                    raise UserError(f"{self.path}: the frames change size; split the video there")
                pts = pts + step if frame.pts is None else max(frame.pts, pts + 1)
                size = pixels.shape
                yield Frame(pixels, pts)


@contextmanager
def open_video(path: str | Path) -> Iterator[VideoFile]:
    """Open a video for reading.

    Raises:
        UserError: The file is missing, empty or damaged, holds no video, or PyAV is not installed.
    """
    av = import_av()
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    with _decoding(path):
        container = av.open(str(path))
    with container:
        if not container.streams.video:
            raise UserError(f"{path} holds no video")
        yield VideoFile(path, container)


class VideoWriter:
    """A video that is being written; `write_labels_video` and `write_overlay_video` yield one."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream

    def write(self, array: np.ndarray, pts: int) -> None:
        """Append (H, W, 3) RGB or (H, W) grey, uint8, of the video's size, to be shown from `pts` on."""
        av = import_av()
        if array.ndim == 3:
            even = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        else:
            frame = av.VideoFrame.from_ndarray(array, format="gray")
        frame.pts, frame.time_base = pts, self._stream.codec_context.time_base
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still buffers."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def write_labels_video(path: str | Path, like: VideoFile, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """Write a lossless video of label maps (FFV1, 8 bits grey), whole or not at all; `size` is (height, width)."""
    with _writing(path, like, size, "ffv1", "gray", {"level": "3"}) as writer:
        yield writer


@contextmanager
def write_overlay_video(path: str | Path, like: VideoFile, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """Write a video for viewing (H.264), whole or not at all; `size` is (height, width).

    The codec needs even sides: the last row or column of an odd one is repeated.
    """
    available = import_av().codecs_available
    codec, options = next(choice for choice in _OVERLAY_CODECS if choice[0] in available)
    height, width = size
    with _writing(path, like, (height + height % 2, width + width % 2), codec, "yuv420p", options) as writer:
        yield writer


def import_av() -> Any:
    """Import the package `av`.

    Raises:
        UserError: It is not installed.
    """
    with needs_extra("video", "av"):
        import av
    return av


@contextmanager
def _writing(
    path: str | Path, like: VideoFile, size: tuple[int, int], codec: str, pix_fmt: str, options: dict[str, str]
) -> Iterator[VideoWriter]:
    with atomic_path(path) as temporary, import_av().open(str(temporary), "w") as container:
        stream = container.add_stream(codec, rate=like.rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = like.time_base
        if pix_fmt != "gray":
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
        writer = VideoWriter(container, stream)
        yield writer
        writer.finish()


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Translate FFmpeg's errors on bad files."""
    errors = import_av().error
    try:
        yield
    except errors.PermissionError as error:
        raise UserError(f"no permission to read {path}") from error
    except errors.FFmpegError as error:
        raise UserError(f"{path} is truncated, damaged or not a video ({error.strerror})") from error


def _upright(pixels: np.ndarray, rotation: int) -> np.ndarray:
    """Apply the rotation that a camera recorded, in degrees counterclockwise, rounded to quarter turns."""
    return np.ascontiguousarray(np.rot90(pixels, round(rotation / 90)))
