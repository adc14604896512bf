"""A few steps of a training, to know its time and memory before it starts."""

import math
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fanet.media.memory import free_memory, release_freed_memory
from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.run import Batch, Run
from fanet.segmentation.training.run_folder import RunFolder
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import take_step, with_first_ready

_IMAGES_TRIED = 4
_MOST_STEPS = 100
# The share of the free memory that a training may fill: the data grows while it is read, and others work here too.
_USABLE = 0.8


@dataclass(frozen=True)
class Trial:
    """What a training costs.

    Attributes:
        seconds_per_step: Of an optimizer step.
        seconds_per_evaluation: Of the whole validation split.
        start_seconds: Until the first step, reading included.
        peak_mb: Memory of this process, or of the GPU, in a step.
        mb_per_sample: How much of it grows with the batch, for each crop.
        free_mb: Memory that is left while the steps run.
        samples_per_step: Crops of this process in one forward pass.
        iterations, evaluations: How many the recipe has.
    """

    seconds_per_step: float
    seconds_per_evaluation: float
    start_seconds: float
    peak_mb: float
    mb_per_sample: float
    free_mb: float
    samples_per_step: int
    iterations: int
    evaluations: int

    @property
    def total_seconds(self) -> float:
        """Seconds of the whole training."""
        steps, evaluations = self.iterations * self.seconds_per_step, self.evaluations * self.seconds_per_evaluation
        return self.start_seconds + steps + evaluations

    @property
    def largest_batch(self) -> int:
        """Crops in one forward pass that fit into memory, as it grows with each crop; never fewer than were tried."""
        return self.samples_per_step + max(0, int(_USABLE * self.free_mb / max(self.mb_per_sample, 1.0)))


def try_steps(recipe: dict, steps: int = 3, seconds: float = 0.0) -> Trial:
    """Build a training, take a few steps and predict a few validation images; nothing is written.

    Args:
        recipe: As `fanet.recipes.load_recipe` returns it.
        steps: Steps that are timed, at least.
        seconds: How long to go on with steps, at least, but for a hundred of them.

    Raises:
        UserError: The recipe or the data is unsuitable, or the loss is not finite.
    """
    settings, accelerator = Settings.from_recipe(recipe), join_processes()
    started = time.perf_counter()
    run = Run.build(settings, accelerator)
    batches = with_first_ready(run.batches())
    start_seconds = time.perf_counter() - started
    device, before = accelerator.device, _used_mb(accelerator.device)
    seconds_per_step = mean_step(run, batches, steps, seconds)
    peak, free = _peak_mb(device), _free_mb(device)
    samples = settings.train.batch_size // settings.train.accumulation_steps // accelerator.num_processes
    iterations, every = settings.train.iterations, settings.evaluation.every
    return Trial(
        seconds_per_step=seconds_per_step,
        seconds_per_evaluation=_evaluation_seconds(run) / accelerator.num_processes,
        start_seconds=start_seconds,
        peak_mb=peak,
        mb_per_sample=(peak - before) / samples,
        free_mb=free,
        samples_per_step=samples,
        iterations=iterations,
        evaluations=math.ceil(iterations / every),
    )


def mean_step(run: Run, batches: Iterator[Batch], steps: int, seconds: float = 0.0) -> float:
    """Return the mean seconds of a step, after one that is not timed: it prepares what the others use.

    Args:
        run: The training; its weights change.
        batches: Its batches.
        steps: Steps that are timed, at least.
        seconds: How long to go on, at least, but for a hundred steps: the first seconds of work are often a
            machine's fastest.
    """
    nowhere, times = RunFolder(Path()), list[float]()
    with tqdm(desc="trying steps", unit="step", disable=None) as bar:
        while len(times) < 1 + steps or (sum(times[1:]) < seconds and len(times) < _MOST_STEPS):
            started = time.perf_counter()
            take_step(run, batches, nowhere)
            run.progress.iteration += 1
            times.append(time.perf_counter() - started)
            bar.update()
    return float(np.mean(times[1:]))


def _evaluation_seconds(run: Run) -> float:
    """Return the seconds of an evaluation, from a few images spread over the split."""
    count = len(run.validation)
    chosen = sorted({round(index * (count - 1) / max(1, _IMAGES_TRIED - 1)) for index in range(_IMAGES_TRIED)})
    predictor = run.ema.module.predictor()
    times = []
    for index in chosen:
        started = time.perf_counter()
        predictor.labels(run.validation[index].image)
        times.append(time.perf_counter() - started)
    return count * float(np.median(times))


def _used_mb(device: torch.device) -> float:
    """Return the memory in use, with that of freed objects returned, and begin to note the highest anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 1e6
    release_freed_memory()
    with suppress(OSError):  # only Linux lets a process begin anew
        Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def _peak_mb(device: torch.device) -> float:
    """Return the highest memory since `_used_mb`; on a CPU of this process, outside Linux since its start."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else _status_mb("VmHWM")


def _status_mb(key: str) -> float:
    """Return what Linux says about the memory of this process; elsewhere its highest."""
    with suppress(OSError, IndexError):
        return 1024 * int(Path("/proc/self/status").read_text().split(f"{key}:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def _free_mb(device: torch.device) -> float:
    """Return the memory that nobody uses."""
    return (torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()) / 1e6
