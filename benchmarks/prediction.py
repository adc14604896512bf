"""Measure prediction end to end, with one or several engines in the same rounds.

    python benchmarks/prediction.py                               # the model inside the package on 1920x1080 frames
    python benchmarks/prediction.py --engine eager compile openvino:bf16 --frames 20 --rounds 7
    python benchmarks/prediction.py --model DIR --frames 16 --threads 2 --img-size 1080 1920
    python benchmarks/prediction.py --engine auto --checkout ../before    # beside the code in that folder

Frames are generated scenes on a belt that moves by `STEP` pixels from frame to frame. They are stored as PNG by this
project's writer, on which the decoding time depends, and as H.264 video. In every round each engine does the
following, one engine after the other in an order that shifts, so that a busy machine slows all of them; a first round
is discarded. With `--checkout`, the code of this project in that folder comes first, eager, in a process of its own.

network     the network alone on prepared tensors
images      image files to label maps and overlays; reading and writing run in threads beside the network
video       a video file to two video files in the same way; left out with a line if the package av is missing
latency     frame after frame from memory to label map: preprocessing, network, resizing, strongest class

Writes `benchmarks/results/prediction-<conditions>.csv`, a row for each engine, with medians over the rounds; an engine
that this machine does not offer is left out with a line:

network_ms                  of a frame
images_ms, images_per_s     of a frame
share_outside               1 - network / images of the same round: the share that the network does not account for
share_idle                  the share of `images` in which no frame is in the network; it is lower, since reading and
                            writing take cores away from the network
video_per_s                 frames a second
p50_ms, p95_ms, p99_ms      latency over all frames of all rounds
belt_mm                     how far a belt at 3 m/s moves in p99_ms
network_ratio …             time over that of the first engine in the same round
start_s                     seconds from the model's file to the first label map
agreement_percent           pixels with the first engine's label
frames, rounds, model, hardware, torch
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from measuring import RESULTS, hardware, now, write_csv

from fanet.errors import UserError
from fanet.files import make_folder
from fanet.media.images import write_png
from fanet.media.video import import_av, write_overlay_video
from fanet.scenes import scene
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.predict_files import predict_files
from fanet.segmentation.prediction.predictor import Predictor

KINDS = ("network", "images", "video", "latency")
COLUMNS = (
    "engine",
    "network_ms",
    "images_ms",
    "images_per_s",
    "share_outside",
    "share_idle",
    "video_per_s",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "belt_mm",
    *(f"{kind}_ratio" for kind in KINDS),
    "start_s",
    "agreement_percent",
    "frames",
    "rounds",
    "model",
    "hardware",
    "torch",
)
SCENES = 3  # they take longer to draw than to predict, so the camera moves along a few
STEP = 32
FRAMES_PER_S = 30
BELT_M_PER_S = 3
BEFORE = "before"


@dataclass
class Frames:
    """The frames of a round: in memory, as a folder of images and, where it can be written, as a video."""

    arrays: list[np.ndarray]
    images: Path
    video: Path | None


def _predicted(predictor: Predictor, source: Path, output: Path) -> float:
    """Predict a folder or a file, and return the seconds that it took."""
    start = time.perf_counter()
    predict_files(predictor, [source], output, overwrite=True)
    return time.perf_counter() - start


class Contender:
    """An engine under measurement, and its times in seconds per frame: a list per kind, an entry per round."""

    def __init__(self, name: str, args: argparse.Namespace, frame: np.ndarray) -> None:
        self.name = name
        start = time.perf_counter()
        if name == BEFORE:  # code from before there were engines
            self.predictor = load_predictor(args.model, args.device)
        else:
            engine, _, precision = name.partition(":")
            self.predictor = load_predictor(args.model, args.device, engine=engine, precision=precision or None)
        self.predictor.labels(frame)
        self.start_s = time.perf_counter() - start
        self.device = torch.device(args.device)
        self.forget()

    def forget(self) -> None:
        """Discard the rounds so far."""
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.idle: list[float] = []
        self.latencies: list[float] = []

    def run(self, frames: Frames, output: Path) -> None:
        """Measure one round."""
        self.seconds["network"].append(self._network(frames.arrays))
        seconds, idle = self._images(frames.images, output)
        self.seconds["images"].append(seconds / len(frames.arrays))
        self.idle.append(idle)
        if frames.video is not None:
            self.seconds["video"].append(_predicted(self.predictor, frames.video, output) / len(frames.arrays))
        latencies = [self._latency(frame) for frame in frames.arrays]
        self.seconds["latency"].append(float(np.median(latencies)))
        self.latencies += latencies

    def labels(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Return the labels of frames, (N, H, W)."""
        return np.stack([self.predictor.labels(frame) for frame in frames])

    def _network(self, frames: Sequence[np.ndarray]) -> float:
        dtype = self.predictor.dtype
        inputs = [self.predictor.preprocessing(frame, self.device).to(dtype) for frame in frames[:SCENES]]
        start = now(self.device)
        with torch.inference_mode():
            for index in range(len(frames)):
                self.predictor.engine(inputs[index % len(inputs)])
        return (now(self.device) - start) / len(frames)

    def _images(self, folder: Path, output: Path) -> tuple[float, float]:
        """Measure seconds from files to files, and the share of them in which no image is in the network."""
        busy = 0.0

        def timed(x: torch.Tensor) -> torch.Tensor:
            nonlocal busy
            start = now(self.device)
            logits = self.predictor.engine(x)
            busy += now(self.device) - start
            return logits

        seconds = _predicted(replace(self.predictor, engine=timed), folder, output)
        return seconds, 1 - busy / seconds

    def _latency(self, frame: np.ndarray) -> float:
        start = time.perf_counter()
        self.predictor.labels(frame)
        return time.perf_counter() - start


class ContenderBefore(Contender):
    """A `Contender` in a process that runs other code of this project: it is told what to do line by line."""

    def __init__(self, process: subprocess.Popen, device: str) -> None:
        self.name, self._process, self.device = BEFORE, process, torch.device(device)
        self.start_s = self._ask("start_s")
        self.forget()

    def run(self, frames: Frames, output: Path) -> None:
        """Let the process measure one round."""
        seconds, idle, latencies = self._ask("run", str(output))
        for kind, values in seconds.items():
            self.seconds[kind] += values
        self.idle += idle
        self.latencies += latencies

    def labels(self, frames: Sequence[np.ndarray]) -> np.ndarray:
        """Return the labels of frames, which are the process's own first ones."""
        return np.load(self._ask("labels", str(len(frames))))

    def _ask(self, *words: str) -> Any:
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise UserError("the code of --checkout failed, see above: choose a version whose model can be loaded")
        return json.loads(line)


@contextlib.contextmanager
def other_code(args: argparse.Namespace, frames: Frames) -> Iterator[subprocess.Popen]:
    """Start `serve` in a process with the code of `--checkout`, which is stopped at the end."""
    settings = {"model": args.model, "device": args.device, "threads": args.threads}
    settings |= {"images": str(frames.images), "video": str(frames.video) if frames.video else None}
    settings |= {"count": len(frames.arrays), "size": frames.arrays[0].shape[:2]}
    command = [sys.executable, __file__, "--child", json.dumps(settings)]
    environment = {**os.environ, "PYTHONPATH": str(args.checkout.resolve())}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def serve(settings: dict[str, Any]) -> int:
    """Measure in this process what lines of standard input ask for; answers are lines of JSON."""
    out = sys.stdout
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    frames = Frames(
        belt(settings["count"], tuple(settings["size"])),
        Path(settings["images"]),
        Path(settings["video"]) if settings["video"] else None,
    )
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        contender = Contender(BEFORE, argparse.Namespace(**settings), frames.arrays[0])
        for line in sys.stdin:
            word, *rest = json.loads(line)
            answer: Any = contender.start_s
            if word == "run":
                contender.forget()
                contender.run(frames, Path(rest[0]))
                answer = contender.seconds, contender.idle, contender.latencies
            elif word == "labels":
                answer = str(Path(folder) / "labels.npy")
                np.save(answer, contender.labels(frames.arrays[: int(rest[0])]))
            print(json.dumps(answer), file=out, flush=True)
    return 0


def belt(count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Draw frames (H, W, 3) under which scenes move by `STEP` pixels each."""
    strip = np.concatenate([scene(seed=0, index=index, size=size)[0] for index in range(SCENES)], axis=1)
    travel = strip.shape[1] - size[1]
    return [np.ascontiguousarray(strip[:, (x := index * STEP % travel) : x + size[1]]) for index in range(count)]


def write_frames(arrays: list[np.ndarray], folder: Path) -> Frames:
    """Write the frames as images and, if the package av is installed, as a video."""
    images = make_folder(folder / "images")
    for index, array in enumerate(arrays):
        write_png(images / f"{index:04d}.png", array)
    video = folder / "video.mp4"
    try:
        import_av()
    except UserError as error:
        print(f"left out: video: {error}")
        return Frames(arrays, images, None)
    like: Any = SimpleNamespace(rate=Fraction(FRAMES_PER_S), time_base=Fraction(1, FRAMES_PER_S))
    with write_overlay_video(video, like, arrays[0].shape[:2]) as writer:
        for index, array in enumerate(arrays):
            writer.write(array, index)
    return Frames(arrays, images, video)


def contenders(args: argparse.Namespace, frame: np.ndarray) -> list[Contender]:
    """Prepare every engine; what this machine does not offer is left out with a line.

    Raises:
        UserError: The first one, to which all are compared, is not on offer.
    """
    ready: list[Contender] = []
    for name in args.engine:
        try:
            ready.append(Contender(name, args, frame))
        except UserError as error:
            if not ready:
                raise
            print(f"left out: {name}: {error}", flush=True)
    return ready


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure all engines in turns, a row each."""
    arrays = belt(args.frames, tuple(args.img_size))
    with contextlib.ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        frames = write_frames(arrays, Path(name))
        ready: list[Contender] = []
        if args.checkout:
            ready.append(ContenderBefore(stack.enter_context(other_code(args, frames)), args.device))
        ready += contenders(args, arrays[0])
        for contender in ready:
            contender.run(frames, Path(name) / "out")
            contender.forget()  # warm-up
        for round_ in range(args.rounds):
            for index in range(len(ready)):
                ready[(round_ + index) % len(ready)].run(frames, Path(name) / "out")
        labels = [contender.labels(arrays[:SCENES]) for contender in ready]
        agreement = [100 * float(np.mean(found == labels[0])) for found in labels]
        return [row(*each, ready[0], args) for each in zip(ready, agreement, strict=True)]


def row(contender: Contender, agreement: float, first: Contender, args: argparse.Namespace) -> dict[str, Any]:
    """Summarise the rounds of an engine."""
    seconds = {kind: np.array(values) for kind, values in contender.seconds.items() if values}
    ratios = {f"{kind}_ratio": f"{np.median(seconds[kind] / first.seconds[kind]):.3f}" for kind in seconds}
    p50, p95, p99 = 1e3 * np.quantile(contender.latencies, (0.5, 0.95, 0.99))
    images = float(np.median(seconds["images"]))
    return ratios | {
        "engine": contender.name,
        "network_ms": f"{1e3 * np.median(seconds['network']):.1f}",
        "images_ms": f"{1e3 * images:.1f}",
        "images_per_s": f"{1 / images:.3f}",
        "share_outside": f"{np.median(1 - seconds['network'] / seconds['images']):.3f}",
        "share_idle": f"{np.median(contender.idle):.3f}",
        "video_per_s": f"{1 / np.median(seconds['video']):.3f}" if "video" in seconds else "",
        "p50_ms": f"{p50:.1f}",
        "p95_ms": f"{p95:.1f}",
        "p99_ms": f"{p99:.1f}",
        "belt_mm": f"{BELT_M_PER_S * p99:.0f}",
        "start_s": f"{contender.start_s:.2f}",
        "agreement_percent": f"{agreement:.3f}",
        "frames": args.frames,
        "rounds": args.rounds,
        "model": args.model or "inside the package",
        "hardware": hardware(args.device),
        "torch": torch.__version__,
    }


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--engine", nargs="+", default=["eager"], metavar="NAME[:PRECISION]", help="as eager, auto or openvino:bf16"
    )
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="other code of this project, to compare with")
    parser.add_argument("--model", metavar="M", help="folder or file (default: the model inside the package)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads on the CPU (default: torch's own)")
    parser.add_argument("--img-size", type=int, nargs=2, default=(1080, 1920), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=8, metavar="N", help="per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if min([*args.img_size, args.frames, args.rounds, args.threads or 1]) < 1:
        parser.error("all numbers must be above 0")
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def main(argv: Sequence[str]) -> int:
    """Measure, print and write the table."""
    args = parse(argv)
    try:
        rows = measure(args)
    except UserError as error:
        print(f"prediction: error: {error}", file=sys.stderr)
        return 2
    for found in rows:
        video = f", video {found['video_per_s']} frames/s" if found["video_per_s"] else ""
        print(
            f"{found['engine']}: network {found['network_ms']} ms, images {found['images_per_s']} frames/s{video}, "
            f"latency p50 {found['p50_ms']}, p95 {found['p95_ms']}, p99 {found['p99_ms']} ms ({found['belt_mm']} mm at "
            f"3 m/s), {found['agreement_percent']} % of pixels as {rows[0]['engine']}"
        )
    height, width = args.img_size
    threads = f"-{torch.get_num_threads()}threads" if torch.device(args.device).type == "cpu" else ""
    write_csv(args.output / f"prediction-{args.device.replace(':', '')}-{width}x{height}{threads}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(serve(json.loads(sys.argv[2])) if sys.argv[1:2] == ["--child"] else main(sys.argv[1:]))
