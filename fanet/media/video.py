"""Read and write videos frame by frame with PyAV (extra `video`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.files import atomic_path
from fanet.media.pixels import Notes, array_to_rgb, warn_of
from fanet.media.video_ends import breaks_off

# H.264 plays everywhere; FFmpeg builds without it have MPEG-4. At a constant rate factor of 18 losses are invisible.
_OVERLAY_CODECS = (("libx264", {"crf": "18", "preset": "veryfast"}), ("mpeg4", {"qscale": "3"}))
_BT709 = 1  # FFmpeg's AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709
_LIMITED = 1  # FFmpeg's AVCOL_RANGE_MPEG


# A container of one stream may state a duration that its last frames do not reach: more than a share of it is missing.
_MISSING = 0.1
_MISSING_STEPS = 3


class DamagedVideoError(UserError):
    """A video of which only a part can be read; raised after the frames that can."""


@dataclass(frozen=True)
class Frame:
    """An upright image (H, W, 3) uint8 RGB, and its presentation time in units of the video's time base."""

    pixels: np.ndarray
    pts: int


class Timing(Protocol):
    """When the frames of a video are shown."""

    @property
    def rate(self) -> Fraction:
        """Frames per second."""

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `Frame.pts`."""


class VideoFile:
    """A video that is being read.

    Attributes:
        count: Number of frames that the file states, None if it does not.
        rate: Frames per second.
        time_base: Seconds per unit of `Frame.pts`.
    """

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self.path = path
        self._container = container
        self._stream = stream
        self._stream.thread_type = "SLICE"  # threads for whole frames often lose the mark of a damaged one
        self.count: int | None = self._stream.frames or None
        self.rate: Fraction = self._stream.average_rate or self._stream.guessed_rate or Fraction(25)
        self.time_base: Fraction = self._stream.time_base or 1 / self.rate

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in the order they are shown, with increasing times.

        Raises:
            DamagedVideoError: The file is damaged, breaks off, or its frames change size; raised after the last frame
                that can be read.
            UserError: No frame can be read.
        """
        step = max(1, round(1 / (self.rate * self.time_base)))
        first, pts, count, fault = None, -step, 0, ""
        shape: tuple[int, ...] = ()
        for decoded in self.decoded():
            if isinstance(decoded, str):
                fault = fault or decoded
                continue
            pixels = self.pixels(decoded)
            if shape and pixels.shape != shape:
                fault = f"from there on frames are {pixels.shape[1]}x{pixels.shape[0]}: split the video there"
                break
            shape = pixels.shape
            pts = pts + step if decoded.pts is None else max(decoded.pts, pts + 1)
            first = pts if first is None else first
            count += 1
            yield Frame(pixels, pts)
        if fault and not count:
            raise UserError(f"{self.path} is truncated, damaged or not a video ({fault})")
        if count and not fault and (breaks_off(self.path) or self._is_short(pts + step - (first or 0), step)):
            fault = "the file breaks off"
        if fault:
            raise DamagedVideoError(f"{self.path}: only {self._share(count)} could be read ({fault})")

    def pixels(self, decoded: Any) -> np.ndarray:
        """Return the colours of PyAV's frame, upright, composited on white as those of images: (H, W, 3) uint8 RGB."""
        if any(component.is_alpha for component in decoded.format.components):
            colours = array_to_rgb(decoded.to_ndarray(format="rgba"), str(self.path), [])
        else:
            colours = decoded.to_ndarray(format="rgb24")
        return _upright(colours, decoded.rotation)

    def decoded(self) -> Iterator[Any]:
        """Yield PyAV's frames, and for every fault a text."""
        failure = import_av().error.FFmpegError
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except failure as error:
                yield str(error.strerror)
                return
            if packet is None:
                return
            if packet.is_corrupt:
                yield "a damaged packet"
            try:
                frames = packet.decode()
            except failure as error:  # the next packets may be whole
                yield str(error.strerror)
                continue
            for frame in frames:
                if frame.is_corrupt:
                    yield "a damaged frame"
                yield frame

    def _is_short(self, span: int, step: int) -> bool:
        """Return whether frames are missing at the end, by the duration that the file states."""
        stated = self._stated()
        if stated is None or len(self._container.streams) > 1:  # the sound may be longer
            return False
        missing = stated / self.time_base - span
        return missing > max(_MISSING_STEPS * step, _MISSING * stated / self.time_base)

    def _stated(self) -> Fraction | None:
        """Return the duration that the file states, in seconds."""
        return Fraction(self._container.duration, 10**6) if self._container.duration else None

    def _share(self, count: int) -> str:
        stated = self._stated()
        total = self.count or (round(stated * self.rate) if stated else 0)
        return f"{count} of {total} frames" if total > count else f"{count} frames"


@contextmanager
def open_video(path: str | Path) -> Iterator[VideoFile]:
    """Open a video for reading.

    Raises:
        UserError: The file is missing, empty or damaged, holds no video, or PyAV is not installed.
    """
    av = import_av()
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}" if not path.exists() else f"{path} is not a regular file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    with _decoding(path):
        # from 19 on PyAV itself takes tags in any encoding
        tags = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
        container = av.open(str(path), **tags)
    with container:
        cover = av.stream.Disposition.attached_pic  # of an album
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            raise UserError(f"{path} holds no video")
        notes: Notes = []
        if len(streams) > 1:
            notes.append(("videos", f"only the first of its {len(streams)} videos is read"))
        if streams[0].metadata.get("alpha_mode") == "1":  # FFmpeg's own decoders of VP8 and VP9 leave it out
            notes.append(("video alpha", "it is read without its transparency"))
        warn_of(str(path), notes)
        yield VideoFile(path, container, streams[0])


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
def write_labels_video(path: str | Path, timing: Timing, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """Write a lossless video of label maps (FFV1, 8 bits grey), whole or not at all; `size` is (height, width)."""
    with _writing(path, timing, size, "ffv1", "gray", {"level": "3"}) as writer:
        yield writer


@contextmanager
def write_overlay_video(path: str | Path, timing: Timing, size: tuple[int, int]) -> Iterator[VideoWriter]:
    """Write a video for viewing (H.264), whole or not at all; `size` is (height, width).

    The codec needs even sides: the last row or column of an odd one is repeated.
    """
    available = import_av().codecs_available
    codec, options = next(choice for choice in _OVERLAY_CODECS if choice[0] in available)
    height, width = size
    with _writing(path, timing, (height + height % 2, width + width % 2), codec, "yuv420p", options) as writer:
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
    path: str | Path, timing: Timing, size: tuple[int, int], codec: str, pix_fmt: str, options: dict[str, str]
) -> Iterator[VideoWriter]:
    with atomic_path(path) as temporary, import_av().open(str(temporary), "w") as container:
        stream = container.add_stream(codec, rate=timing.rate, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pix_fmt
        context = stream.codec_context
        context.time_base = timing.time_base
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
