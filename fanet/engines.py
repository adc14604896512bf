"""What this machine can run a model with: every engine on one image, each in a process of its own."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fanet.errors import UserError, one_line
from fanet.scenes import scene
from fanet.segmentation.network.model import CoarseLogits
from fanet.segmentation.network.shipped import load_model
from fanet.segmentation.prediction.engines import candidates
from fanet.segmentation.prediction.engines.auto import FAITHFUL, Trial, labels_of, try_engine


@dataclass(frozen=True)
class Figures:
    """What an engine needs on this machine.

    Attributes:
        engine: `eager`, `compile`, `onnx` or `openvino`.
        precision: `fp32` or `bf16`.
        start: Seconds from the loaded model to the first label map; exporting and compiling included, the first time.
        latency: Median, 95th and 99th percentile of the following runs, in milliseconds.
        memory: Peak memory of the process in MB, Python and PyTorch included; known on Linux, else 0.
        agreement: Share of pixels with the label of `eager` in `fp32`.
        missing: Why it cannot be used; the other figures are then 0.
    """

    engine: str
    precision: str
    start: float = 0.0
    latency: tuple[float, float, float] = (0.0, 0.0, 0.0)
    memory: float = 0.0
    agreement: float = 0.0
    missing: str = ""

    @property
    def is_faithful(self) -> bool:
        """Whether the labels are those of `eager`, up to a few pixels."""
        return self.agreement >= FAITHFUL[self.precision]


def survey(
    name: str | Path | None,
    size: tuple[int, int],
    runs: int,
    threads: int | None = None,
    prepare: Callable[[], object] | None = None,
) -> Iterator[Figures]:
    """Run a model with every engine and precision that this machine may have, on a generated scene.

    Args:
        name: As for `load_model`.
        size: Height and width of the scene in pixels.
        runs: Number of timed runs of each engine.
        threads: Number of threads; by default PyTorch's own.
        prepare: Called first in every process; must be picklable.

    Yields:
        The figures of each engine as soon as they are known, `eager` in `fp32` first.

    Raises:
        UserError: There is no such model.
    """
    network = CoarseLogits(load_model(name))  # a mistyped name fails here
    reference: np.ndarray | None = None
    for index, candidate in enumerate(candidates(network)):
        # a process of its own, as memory that one engine has taken would be counted for the next
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=prepare) as process:
            try:
                figures, labels = process.submit(_measure, name, size, runs, threads, index, reference).result()
            except BrokenProcessPool:
                figures, labels = Figures(candidate.engine, candidate.precision, missing="the process ended"), None
        yield figures
        if reference is None and labels is None:
            return  # without eager there is nothing to compare with
        reference = labels if reference is None else reference


def _measure(
    name: str | Path | None,
    size: tuple[int, int],
    runs: int,
    threads: int | None,
    index: int,
    reference: np.ndarray | None,
) -> tuple[Figures, np.ndarray | None]:
    if threads is not None:
        torch.set_num_threads(threads)
    model = load_model(name)
    image = model.preprocessing(scene(seed=0, index=0, size=size)[0])
    candidate = candidates(CoarseLogits(model))[index]
    try:
        with torch.inference_mode():
            trial = try_engine(candidate, image, reference, runs)
            labels = labels_of(trial.run(image), image)
    except (UserError, RuntimeError) as error:
        return Figures(candidate.engine, candidate.precision, missing=one_line(error)), None
    return _figures(trial), labels


def _figures(trial: Trial) -> Figures:
    p50, p95, p99 = np.percentile(1e3 * np.array(trial.times), (50, 95, 99))
    return Figures(
        trial.candidate.engine,
        trial.candidate.precision,
        trial.start,
        (float(p50), float(p95), float(p99)),
        _peak_memory(),
        trial.agreement,
    )


def _peak_memory() -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return 1024e-6 * int(status.read_text().split("VmHWM:")[1].split()[0])  # in KiB
