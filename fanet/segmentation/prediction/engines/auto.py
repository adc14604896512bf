"""The fastest engine of this machine that gives the labels of a reference."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fanet.errors import UserError, one_line
from fanet.segmentation.prediction.windows import strongest_class

Run = Callable[[torch.Tensor], torch.Tensor]

#: Smallest share of pixels with the reference's label, by precision.
FAITHFUL = {"fp32": 0.999, "bf16": 0.995}


@dataclass(frozen=True)
class Candidate:
    """An engine that could run a network.

    Attributes:
        engine: Its name.
        precision: A key of `FAITHFUL`.
        build: Returns the engine.
        is_quick: Whether it starts within seconds for inputs of a shape; else `AutoEngine` does not try it.
    """

    engine: str
    precision: str
    build: Callable[[], Run]
    is_quick: Callable[[tuple[int, ...]], bool] = lambda shape: True

    @property
    def name(self) -> str:
        """Engine and precision, such as `openvino bf16`."""
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True)
class Trial:
    """What an engine did on one input.

    Attributes:
        candidate: The engine.
        start: Seconds until its first label map, what it loads, exports and compiles included.
        times: Seconds of each label map after it.
        agreement: Share of pixels with the reference's label.
        run: The engine itself.
    """

    candidate: Candidate
    start: float
    times: tuple[float, ...]
    agreement: float
    run: Run

    @property
    def is_faithful(self) -> bool:
        """Whether the labels are those of the reference, up to a few pixels."""
        return self.agreement >= FAITHFUL[self.candidate.precision]


def try_engine(candidate: Candidate, x: torch.Tensor, expected: np.ndarray | None, runs: int) -> Trial:
    """Build an engine, and run it on one input.

    Args:
        candidate: The engine.
        x: Normalised image, (1, C, H, W).
        expected: Labels of the reference, (H, W) uint8; None if this is the reference.
        runs: Number of runs after the first.

    Raises:
        UserError: The engine is not available on this machine.
    """
    begin = time.perf_counter()
    run = candidate.build()
    labels = labels_of(run(x), x)
    start = time.perf_counter() - begin
    agreement = 1.0 if expected is None else float((labels == expected).mean())
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        labels_of(run(x), x)
        times.append(time.perf_counter() - begin)
    return Trial(candidate, start, tuple(times), agreement, run)


def labels_of(logits: torch.Tensor, x: torch.Tensor) -> np.ndarray:
    """Return the labels of an image: (H, W) uint8."""
    return strongest_class(logits.float(), (x.shape[-2], x.shape[-1])).cpu().numpy()


class AutoEngine:
    """Runs what is fastest on the first image and gives the labels that the first candidate gives.

    Candidates that are not available are left out. What was chosen is said in one line on standard error, and which
    engine would have been faster but gives other labels.
    """

    def __init__(self, candidates: Sequence[Candidate], runs: int = 2) -> None:
        self._candidates, self._runs = candidates, runs
        self._chosen: Trial | None = None
        self._by_shape: dict[tuple[int, ...], Run] = {}

    @torch.inference_mode()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._chosen is None:
            self._chosen = self._choose(x[:1])
        shape = tuple(x.shape)
        if shape not in self._by_shape:
            is_quick = self._chosen.candidate.is_quick(shape)
            self._by_shape[shape] = self._chosen.run if is_quick else self._reference
        return self._by_shape[shape](x)

    def for_calls(self, calls: int) -> Run:
        """Return the chosen engine for up to `calls` threads at once, or this one if it has none or has not chosen."""
        if self._chosen is None:
            return self
        several = getattr(self._chosen.run, "for_calls", None)
        engine = several(calls) if several else self._chosen.run
        return self if engine is self._chosen.run else engine

    def _choose(self, x: torch.Tensor) -> Trial:
        trials = list(self._trials(x))
        reference = trials[0]
        self._reference = reference.run
        best = min((trial for trial in trials if trial.is_faithful), key=lambda trial: min(trial.times))
        text = f"engine: {best.candidate.name}"
        if best is not reference:
            ratio = min(reference.times) / min(best.times)
            text += f", {ratio:.1f} times as fast as {reference.candidate.name} on the first image"
            text += f", of which {100 * best.agreement:.2f} % keep their label"
        for trial in trials:
            if not trial.is_faithful and min(trial.times) < min(best.times):
                text += f"; not {trial.candidate.name}, which changes {100 * (1 - trial.agreement):.1f} % of the labels"
        print(text, file=sys.stderr)
        return best

    def _trials(self, x: torch.Tensor) -> Iterator[Trial]:
        reference = try_engine(self._candidates[0], x, None, self._runs)
        yield reference
        expected = labels_of(reference.run(x), x)
        failed: set[str] = set()
        for candidate in self._candidates[1:]:
            if candidate.engine in failed or not candidate.is_quick(tuple(x.shape)):
                continue
            try:
                yield try_engine(candidate, x, expected, self._runs)
            except UserError as error:
                if not isinstance(error.__cause__, ModuleNotFoundError):
                    print(f"note: no engine {candidate.name}: {one_line(error)}", file=sys.stderr)
                failed.add(candidate.engine)
