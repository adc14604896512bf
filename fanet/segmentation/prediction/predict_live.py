"""Prediction of a live source, whose newest frame always comes first."""

import threading
import time
from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fanet.errors import UserError
from fanet.media.streams import Arrived, NewestFrame, read_source, shown
from fanet.media.video import Frame
from fanet.segmentation.prediction.extras import Extras, Outcome, predict_outcome
from fanet.segmentation.prediction.plan import Prediction, check_results
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.recording import Recording, write_recording
from fanet.threads import Background

#: What the names of results begin with.
NAME = "live"
_RECENT = 500  # frames whose latency is on the screen


@dataclass(frozen=True)
class LiveTiming:
    """Frames of a live source have the time at which they arrive, in milliseconds; the rate is only a hint."""

    rate: Fraction = Fraction(25)
    time_base: Fraction = Fraction(1, 1000)


@dataclass(frozen=True)
class LiveReport:
    """What became of a live source.

    Attributes:
        frames: Number of frames in the results.
        dropped: Number of frames that arrived while others were being predicted, and were replaced by newer ones.
        latency: Median, 95th and 99th percentile of the time from the arrival of a frame to its results, in ms,
            without the first frame, with which engines start; None if there is no other.
        end: Why it ended, if not by `stop`.
    """

    frames: int
    dropped: int
    latency: tuple[float, float, float] | None
    end: str = ""


def plan_live(output: str | Path, overwrite: bool = False, extras: Extras | None = None) -> Prediction:
    """Name the results of a live source: `live_labels.mkv` and so on.

    The address of the source, which may hold a password, is in none of them.

    Raises:
        UserError: Results of an earlier run would be replaced without `overwrite`, or extras are of images only.
    """
    extras = extras or Extras()
    if extras.probabilities or extras.annotations:
        option = "--probabilities" if extras.probabilities else "--annotations"
        raise UserError(f"{option} is for images: leave it out with --live")
    planned = Prediction(Path(NAME), Path(output), Path(NAME), is_video=True, extras=extras)
    check_results([planned], overwrite)
    return planned


def predict_live(
    predictor: Predictor, source: str, files: Prediction, stop: threading.Event, legend: bool = True
) -> LiveReport:
    """Predict the newest frame of a live source, again and again, until it ends or `stop` is set.

    Then the results are closed, and get their names.

    Args:
        predictor: Gives the labels of a frame.
        source: As for `fanet.media.streams.read_source`.
        files: The results, as `plan_live` names them.
        stop: Ends the prediction after the current frame.
        legend: Whether the overlay has a legend.

    Raises:
        UserError: The source gives no frame.
    """
    newest = NewestFrame(read_source(source))
    try:
        first = newest.take(stop)
        if first is None:
            if stop.is_set():
                return LiveReport(0, newest.received, None)
            raise newest.fault or UserError(f"{shown(source)} has no frames")
        size = (first.pixels.shape[0], first.pixels.shape[1])
        with write_recording(
            files, predictor.classes, LiveTiming(), size, legend, has_undecided=predictor.thresholds is not None
        ) as recording:
            frames, latencies, end = _predict(predictor, newest, first, recording, files.extras, stop)
    finally:
        newest.close()
    if not end and not stop.is_set():
        end = str(newest.fault or f"{shown(source)} has ended")
    return LiveReport(frames, newest.received - frames, _percentiles(latencies[1:]), end)


def _predict(
    predictor: Predictor,
    newest: NewestFrame,
    first: Arrived,
    recording: Recording,
    extras: Extras,
    stop: threading.Event,
) -> tuple[int, "array[float]", str]:
    """Return the number of frames, the latencies in ms, and why the prediction ended, if that is known here."""
    latencies: array[float] = array("d")
    count, pts, end = 0, -1, ""

    def write(frame: Frame, outcome: Outcome, arrived: Arrived) -> None:
        recording.write(frame, outcome)
        latencies.append(1e3 * (time.monotonic() - arrived.time))

    with Background() as writer, tqdm(desc=NAME, unit="frame", disable=None) as bar:
        arrived: Arrived | None = first
        while arrived is not None:
            if arrived.pixels.shape != first.pixels.shape:
                end = f"from there on frames are {arrived.pixels.shape[1]}x{arrived.pixels.shape[0]}"
                break
            outcome = predict_outcome(predictor, arrived.pixels, extras, NAME)
            pts = max(pts + 1, round(1e3 * (arrived.time - first.time)))
            writer.submit(write, Frame(arrived.pixels, pts), outcome, arrived)
            count += 1
            bar.set_postfix_str(_on_screen(newest.received - count, latencies), refresh=False)
            bar.update()
            arrived = newest.take(stop)
    return count, latencies, end


def _on_screen(dropped: int, latencies: "array[float]") -> str:
    recent = _percentiles(latencies[max(1, len(latencies) - _RECENT) :])
    return f"{dropped} dropped" + (f", {latency_text(recent)}" if recent else "")


def latency_text(latency: tuple[float, float, float]) -> str:
    """Write percentiles of the latency: `latency p50 81 ms, p95 93 ms, p99 120 ms`."""
    return "latency " + ", ".join(f"p{p} {value:.0f} ms" for p, value in zip((50, 95, 99), latency, strict=True))


def _percentiles(latencies: "array[float]") -> tuple[float, float, float] | None:
    if not latencies:
        return None
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99))
    return float(p50), float(p95), float(p99)
