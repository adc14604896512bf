"""Video files in and out, frame by frame, with PyAV (the extra "video")."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.files import atomic_path

#: Files with these endings (in any case) are taken for videos.
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")

# H.264 plays everywhere; builds of FFmpeg without it still have MPEG-4. Its constant rate factor 18 hides its losses.
_OVERLAY_CODECS = (("libx264", {"crf": "18", "preset": "veryfast"}), ("mpeg4", {"qscale": "3"}))
_BT709 = 1  # FFmpeg's AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


@dataclass(frozen=True)
class Frame:
    """A picture (H, W, 3) uint8 RGB, upright, and when it is shown, counted in the video's time base."""

    pixels: np.ndarray
    pts: int


class VideoFile:
    """A video that is being read.

    Attributes:
        count: number of frames, as the file says; None where it does not.
        rate: frames per second.
        time_base: seconds per count of `Frame.pts`.
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
        """The frames as they are shown, one after the other; their times rise.

        Raises:
            UserError: the file is damaged, or its frames change their size.
        """
        step = max(1, round(1 / (self.rate * self.time_base)))
        size, pts = None, -step
        with _decoding(self.path):
            for frame in self._container.decode(self._stream):
                pixels = _upright(frame.to_ndarray(format="rgb24"), frame.rotation)
                if size not in (None, pixels.shape):
                    raise UserError(f"{self.path}: the frames change their size; cut the video there")
                pts = pts + step if frame.pts is None else max(frame.pts, pts + 1)
                size = pixels.shape
                yield Frame(pixels, pts)


@contextmanager
def open_video(path: str | Path) -> Iterator[VideoFile]:
    """Opens a video for reading.

    Raises:
        UserError: the file is missing, empty or damaged, holds no video, or PyAV is not installed.
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
    """A video that is being written; `write_labels_video` and `write_overlay_video` make one."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream

    def write(self, array: np.ndarray, pts: int) -> None:
        """Appends (H, W, 3) RGB or (H, W) grey, uint8, of the video's size, to be shown from `pts` on."""
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
        """Writes what the encoder still holds back."""
        self._container.mux(self._stream.encode(None))


@contextmanager
def write_labels_video(path: str | Path, like: VideoFile, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """A lossless video of label maps (FFV1, 8 bits grey), whole or not at all; `size` is (height, width)."""
    with _writing(path, like, size, "ffv1", "gray", {"level": "3"}) as writer:
        yield writer


@contextmanager
def write_overlay_video(path: str | Path, like: VideoFile, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """A video to look at (H.264), whole or not at all; `size` is (height, width).

    The codec wants even sides: where one is odd, its last row or column is shown twice.
    """
    available = import_av().codecs_available
    codec, options = next(choice for choice in _OVERLAY_CODECS if choice[0] in available)
    height, width = size
    with _writing(path, like, (height + height % 2, width + width % 2), codec, "yuv420p", options) as writer:
        yield writer


def import_av() -> Any:
    """The package `av`.

    Raises:
        UserError: it is not installed.
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
    """Translates what FFmpeg says of bad files."""
    errors = import_av().error
    try:
        yield
    except errors.PermissionError as error:
        raise UserError(f"no permission to read {path}") from error
    except errors.FFmpegError as error:
        raise UserError(f"{path} is cut off, damaged or no video ({error.strerror})") from error


def _upright(pixels: np.ndarray, rotation: int) -> np.ndarray:
    """Applies the rotation that a camera noted: degrees counterclockwise, of which quarter turns are done."""
    return np.ascontiguousarray(np.rot90(pixels, round(rotation / 90)))
