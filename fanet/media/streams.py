"""Frames of live sources: cameras, network streams and pipes."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError, needs_extra
from fanet.media.video import VideoFile, import_av

STDIN = "-"
_PATIENCE = 10.0  # seconds without a connection or a frame
_TOLD_TO_GIVE_UP = "Immediate exit requested"
_POLL = 0.1  # seconds after which a waiting reader looks whether it shall stop
_LOG_LEVEL_ERROR = 2  # OpenCV's


@dataclass(frozen=True)
class Arrived:
    """A frame (H, W, 3) uint8 RGB, and when it was decoded, in seconds of `time.monotonic`."""

    pixels: np.ndarray
    time: float


class NewestFrame:
    """Reads frames in a thread and keeps the newest only, so that a slow reader is never behind.

    Attributes:
        received: Number of frames so far.
        fault: Why there are no more frames, if it is not that the source has ended.
    """

    def __init__(self, frames: Iterator[np.ndarray]) -> None:
        self.received = 0
        self.fault: UserError | None = None
        self._newest: Arrived | None = None
        self._ended = self._stopped = False
        self._changed = threading.Condition()
        # a daemon: a read that waits for a frame cannot be interrupted
        threading.Thread(target=self._read, args=(frames,), name="live", daemon=True).start()

    def take(self, stop: threading.Event) -> Arrived | None:
        """Wait for a frame that was not taken before; None if there are no more, or `stop` is set meanwhile."""
        with self._changed:
            while self._newest is None and not self._ended and not stop.is_set():
                self._changed.wait(_POLL)
            frame, self._newest = self._newest, None
            return None if stop.is_set() else frame

    def close(self) -> None:
        """Let the thread end with the next frame."""
        self._stopped = True

    def _read(self, frames: Iterator[np.ndarray]) -> None:
        try:
            for pixels in frames:
                with self._changed:
                    self._newest = Arrived(pixels, time.monotonic())
                    self.received += 1
                    self._changed.notify()
                if self._stopped:
                    break
        except UserError as error:
            self.fault = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


def read_source(source: str) -> Iterator[np.ndarray]:
    """Yield the frames of a live source as they come, (H, W, 3) uint8 RGB.

    Args:
        source: The index of a camera; the address of a stream, such as `rtsp://…` or `http://…`; the path of a named
            pipe or a device; or `-` for standard input. Damaged frames are left out.

    Raises:
        UserError: There is no such source, it cannot be decoded, or it breaks off; or a package is not installed.
    """
    return _camera(int(source)) if source.isdecimal() else _stream(source)


def shown(source: str) -> str:
    """Return what to call a live source in a message: an address without the password that it may hold."""
    return "standard input" if source == STDIN else re.sub(r"(?<=://)[^/?#]*@", "", source)


def _camera(index: int) -> Iterator[np.ndarray]:
    with needs_extra("seg", "cv2"):
        import cv2
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, 5
    level = set_log_level(_LOG_LEVEL_ERROR)  # every way to open it that fails is a warning
    camera = cv2.VideoCapture(index)
    set_log_level(level)
    try:
        if not camera.isOpened():
            raise UserError(f"there is no camera {index}: the first one is 0")
        while True:
            is_read, pixels = camera.read()
            if not is_read:
                raise UserError(f"camera {index} gives no more frames")
            yield np.ascontiguousarray(pixels[..., ::-1])
    finally:
        camera.release()


def _stream(source: str) -> Iterator[np.ndarray]:
    av = import_av()
    name = shown(source)
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}  # by UDP, lost packets damage frames
    try:
        container = av.open("pipe:0" if source == STDIN else source, options=options, timeout=_PATIENCE)
    except av.error.FFmpegError as error:
        raise UserError(
            f"cannot open {name} ({error.strerror}): give the index of a camera, the address of a stream, the path "
            "of a pipe, or - for standard input"
        ) from error
    with container:
        if not container.streams.video:
            raise UserError(f"{name} has no video")
        stream = container.streams.video[0]
        clip = VideoFile(Path(name), container, stream)
        stream.thread_type = "SLICE"  # threads that take whole frames each would delay every one of them
        yield from _frames(clip, name)


def _frames(clip: VideoFile, name: str) -> Iterator[np.ndarray]:
    fault, last = "", time.monotonic()
    decoded: Any
    for decoded in clip.decoded():
        if isinstance(decoded, str):
            fault = decoded
        else:
            fault, last = "", time.monotonic()
            yield clip.pixels(decoded)
    # FFmpeg only says that it was told to give up; what it had read by then may have come as frames afterwards
    if fault and (time.monotonic() - last >= _PATIENCE or fault == _TOLD_TO_GIVE_UP):
        fault = f"no frame for {_PATIENCE:g} seconds"
    if fault:
        raise UserError(f"{name} broke off: {fault}")
