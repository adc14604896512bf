"""`fanet predict --live`, on streams served on 127.0.0.1 and on pipes."""

import csv
import http.server
import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.media import streams
from fanet.media.streams import NewestFrame, read_source, shown
from fanet.segmentation import UperNet
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.prediction.predictor import Predictor

from ..media.test_video_damage import FRAMES, clip
from ..platforms import posix


def frame(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A grey image that says which one it is."""
    return np.full((*size, 3), 2 * number % 256, np.uint8)


class Camera(http.server.ThreadingHTTPServer):
    """Serves motion JPEG: `count` frames, or as many as are wanted.

    `change` is the number of the first frame of another size; after `stall` frames it sends nothing for a while.
    """

    def __init__(self, count: int = 10**6, change: int = 10**6, stall: int = 10**6) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.count, self.change, self.stall, self.closed = count, change, stall, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/stream"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Camera

    def log_message(self, *args: object) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(self.server.count):
            buffer = io.BytesIO()
            size = (48, 64) if number < self.server.change else (32, 32)
            Image.fromarray(frame(number, size)).save(buffer, "JPEG")
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {buffer.tell()}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + buffer.getvalue() + b"\r\n")
            except OSError:  # nobody looks any more
                return
            if number == self.server.stall:
                self.server.closed.wait(10)
            time.sleep(0.01)


@pytest.fixture
def camera(request: pytest.FixtureRequest) -> Iterator[Camera]:
    server = Camera(**getattr(request, "param", {}))
    yield server
    server.closed.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def net() -> SegmentationModel:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0).eval()


@pytest.fixture
def live(net: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fanet.segmentation.network.shipped.load_predictor", lambda *args, **keys: net.predictor())

    def run(source: str, *argv: str) -> tuple[int, str, str]:
        status = main(["predict", "--live", source, "--model", "m", "-o", "out", *argv])
        return status, *capsys.readouterr()

    return run


def slow_and_interrupted(monkeypatch: pytest.MonkeyPatch, after: int, number: int = signal.SIGINT) -> None:
    """Let a prediction take 50 ms, and send a signal during one of them."""
    predict, calls = Predictor.labels, []

    def labels(self: Predictor, image: np.ndarray, name: str) -> np.ndarray:
        time.sleep(0.05)
        calls.append(image)
        if len(calls) == after:
            os.kill(os.getpid(), number)
        return predict(self, image, name)

    monkeypatch.setattr(Predictor, "labels", labels)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_closes_the_files_of_a_stream(live, camera, monkeypatch, number) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    slow_and_interrupted(monkeypatch, after=8, number=number)
    status, out, err = live(camera.url, "--shares")
    assert (status, err) == (0, "")
    summary = re.fullmatch(
        r"8 frames segmented, (\d+) dropped; latency p50 (\d+) ms, p95 (\d+) ms, p99 (\d+) ms", out.splitlines()[0]
    )
    assert summary, out
    dropped, *latency = map(int, summary.groups())
    assert dropped >= 8, "a frame comes every 10 ms, and a prediction takes 50"
    assert 50 <= latency[0] <= latency[1] <= latency[2]
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "live_labels.mkv",
        "live_overlay.mp4",
        "live_shares.csv",
        "live_shares.png",
    ]
    times = {}
    for name in ("live_labels.mkv", "live_overlay.mp4"):
        with av.open(f"out/{name}") as video:
            times[name] = [float(each.time) for each in video.decode(video=0)]
    assert len(times["live_labels.mkv"]) == 8
    assert times["live_overlay.mp4"] == pytest.approx(times["live_labels.mkv"], abs=0.002)
    with open("out/live_shares.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert seconds == pytest.approx(times["live_labels.mkv"], abs=0.002)
    assert (np.diff(seconds) > 0).all() and seconds[-1] > 0.2, "frames have the times at which they arrived"
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@posix
def test_second_interrupt_does_not_wait_for_the_files(live, camera, monkeypatch) -> None:
    predict, calls = Predictor.labels, []

    def labels(self: Predictor, image: np.ndarray, name: str) -> np.ndarray:
        calls.append(image)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return predict(self, image, name)

    monkeypatch.setattr(Predictor, "labels", labels)
    assert live(camera.url)[0] == 130
    assert not list(Path("out").iterdir())


@pytest.mark.parametrize("camera", [{"count": 5}], indirect=True)
def test_stream_that_ends_leaves_whole_files_and_says_so(live, camera) -> None:
    status, out, _ = live(camera.url, "--objects")
    assert status == 0 and re.match(r"\d frames? segmented, \d dropped", out) and "127.0.0.1" in out.splitlines()[1]
    assert {path.name for path in Path("out").iterdir()} == {"live_labels.mkv", "live_objects.csv", "live_overlay.mp4"}
    assert "127.0.0.1" not in Path("out/live_objects.csv").read_text(), "addresses may hold passwords"
    status, _, err = live(camera.url)
    assert status == 2 and "give --overwrite" in err


@pytest.mark.parametrize("camera", [{"change": 20, "count": 60}], indirect=True)
def test_frames_of_another_size_end_the_recording(live, camera) -> None:
    status, out, _ = live(camera.url)
    assert status == 0 and "from there on frames are 32x32" in out
    with av.open("out/live_labels.mkv") as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (64, 48)


@pytest.mark.parametrize("camera", [{"stall": 4}], indirect=True)
def test_stream_that_stalls_ends_after_a_while(live, camera, monkeypatch) -> None:
    monkeypatch.setattr("fanet.media.streams._PATIENCE", 0.5)
    status, out, _ = live(camera.url)
    assert status == 0 and out.splitlines()[1] == f"{camera.url} broke off: no frame for 0.5 seconds"
    assert Path("out/live_labels.mkv").exists()


@posix
def test_stream_that_stalls_while_it_is_probed_is_said_to_stall() -> None:
    class Clip:  # what FFmpeg had read comes as frames only after it was told to give up
        def decoded(self) -> Iterator[str]:
            yield "Immediate exit requested"

    with pytest.raises(UserError, match="^camera broke off: no frame for 10 seconds$"):
        list(streams._frames(Clip(), "camera"))


def test_pipe_is_read_to_its_end(live, monkeypatch) -> None:
    data = clip(Path("belt.mkv"))
    os.mkfifo("pipe")

    def write() -> None:
        with open("pipe", "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=write, daemon=True).start()
    status, out, _ = live("pipe")
    found = re.match(r"(\d+) frames? segmented, (\d+) dropped", out)
    assert status == 0 and found and int(found[1]) + int(found[2]) == FRAMES
    assert out.splitlines()[1] == "pipe has ended"


def test_standard_input_is_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = clip(tmp_path / "belt.mkv")
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, data), os.close(writing)), daemon=True).start()
    saved = os.dup(0)
    os.dup2(reading, 0)
    try:
        assert sum(1 for _ in read_source("-")) == FRAMES
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)


def test_newest_frame_comes_first_and_none_is_given_twice() -> None:
    allowed, stop = threading.Semaphore(0), threading.Event()

    def frames() -> Iterator[np.ndarray]:
        for number in range(9):
            allowed.acquire()
            yield frame(number)

    newest = NewestFrame(frames())
    found = []
    for count in (1, 4, 3, 1):
        allowed.release(count)
        while newest.received < sum((1, 4, 3, 1)[: len(found) + 1]):
            time.sleep(0.001)
        found.append(int(newest.take(stop).pixels[0, 0, 0]) // 2)
    assert found == [0, 4, 7, 8]
    assert newest.take(stop) is None, "the source has ended"


def test_reader_that_is_stopped_does_not_wait_for_a_frame() -> None:
    stop, block = threading.Event(), threading.Event()

    def frames() -> Iterator[np.ndarray]:
        block.wait()
        yield frame(0)

    newest = NewestFrame(frames())
    threading.Timer(0.05, stop.set).start()
    assert newest.take(stop) is None
    newest.close()
    block.set()


class Webcam:
    """Stands in for OpenCV's camera: two frames in blue, green, red."""

    def __init__(self, index: int) -> None:
        self.index, self.left, self.is_released = index, 2, False

    def isOpened(self) -> bool:
        return self.index == 0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.full((4, 6, 3), (1, 2, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.is_released = True


def test_camera_gives_rgb_until_it_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.VideoCapture", Webcam)
    frames = read_source("0")
    for _ in range(2):
        assert next(frames)[0, 0].tolist() == [3, 2, 1]
    with pytest.raises(UserError, match="^camera 0 gives no more frames$"):
        next(frames)
    with pytest.raises(UserError, match="^there is no camera 1: the first one is 0$"):
        next(read_source("1"))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://user:secret@camera:554/a@b", "rtsp://camera:554/a@b"),
        ("rtsp://user:p@ss@camera/stream", "rtsp://camera/stream"),
        ("http://camera/?at=a@b", "http://camera/?at=a@b"),
        ("http://camera?at=a@b", "http://camera?at=a@b"),
        ("pipe@home", "pipe@home"),
        ("-", "standard input"),
    ],
)
def test_messages_hold_no_password(source: str, name: str) -> None:
    assert shown(source) == name


def test_message_of_a_stream_that_cannot_be_opened_holds_no_password(live) -> None:
    status, _, err = live("http://user:secret@127.0.0.1:9/stream")
    assert status == 2 and "cannot open http://127.0.0.1:9/stream" in err and "secret" not in err


def test_missing_packages_are_reported_with_their_extra(live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    status, _, err = live("rtsp://127.0.0.1/none")
    assert status == 2 and 'av is not installed: pip install "fanet[video]"' in err
    assert not Path("out").exists()
