"""A few steps of a training, to know its time and memory before it starts."""

import math
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.run import Run
from fanet.segmentation.training.run_folder import RunFolder
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import take_step, with_first_ready

_IMAGES_TRIED = 4
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


def try_steps(recipe: dict, steps: int = 3) -> Trial:
    """Build a training, take a few steps and predict a few validation images; nothing is written.

    Args:
        recipe: As `fanet.recipes.load_recipe` returns it.
        steps: Steps that are timed, after one that is not: it prepares what the others use.

    Raises:
        UserError: The recipe or the data is unsuitable, or the loss is not finite.
    """
    settings, accelerator = Settings.from_recipe(recipe), join_processes()
    started = time.perf_counter()
    run = Run.build(settings, accelerator)
    batches = with_first_ready(run.batches())
    start_seconds = time.perf_counter() - started
    device, before = accelerator.device, _used_mb(accelerator.device)
    nowhere, seconds = RunFolder(Path()), []
    for _ in range(1 + steps):
        started = time.perf_counter()
        take_step(run, batches, nowhere)
        run.progress.iteration += 1
        seconds.append(time.perf_counter() - started)
    peak, free = _used_mb(device), _free_mb(device)
    samples = settings.train.batch_size // settings.train.accumulation_steps // accelerator.num_processes
    iterations, every = settings.train.iterations, settings.evaluation.every
    return Trial(
        seconds_per_step=sorted(seconds[1:])[steps // 2],
        seconds_per_evaluation=_evaluation_seconds(run) / accelerator.num_processes,
        start_seconds=start_seconds,
        peak_mb=peak,
        mb_per_sample=(peak - before) / samples,
        free_mb=free,
        samples_per_step=samples,
        iterations=iterations,
        evaluations=math.ceil(iterations / every),
    )


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
    return count * sorted(times)[len(times) // 2]


def _used_mb(device: torch.device) -> float:
    """Return the highest memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1e6 if sys.platform == "darwin" else 1e3  # macOS counts bytes, Linux thousands of them
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _free_mb(device: torch.device) -> float:
    """Return the memory that nobody uses; 0 where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 1e6
    info = Path("/proc/meminfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) / 1e3
    return 0.0
