"""The progress line of a run: where it is, how good it is, and how long it still takes."""

from dataclasses import dataclass

from tqdm import tqdm

from fanet.segmentation.training.run import Run

# What tqdm shows, except for its time left: that knows of steps only, and jumps at every evaluation.
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
_SMOOTHING = 0.05  # weight of the last step in the mean time of a step


@dataclass
class Pace:
    """How fast steps and evaluations are, in seconds; None before there was one."""

    step: float | None = None
    evaluation: float | None = None

    def add_step(self, seconds: float) -> None:
        """Take a step into the moving average."""
        self.step = seconds if self.step is None else self.step + _SMOOTHING * (seconds - self.step)

    def left(self, iteration: int, last: int, every: int) -> float | None:
        """Return the seconds of all steps and evaluations that come after an iteration; None if nothing is known.

        Args:
            iteration: Steps taken.
            last: Steps in all.
            every: Steps from one evaluation to the next; the last step is followed by one, too.
        """
        if self.step is None:
            return None
        evaluations = last // every - iteration // every + (last % every > 0)
        return (last - iteration) * self.step + evaluations * (self.evaluation or 0.0)


class ProgressLine:
    """The progress line, on standard error; only the main process shows it. A context manager, as tqdm's bars are."""

    def __init__(self, run: Run) -> None:
        self.run, self.pace = run, Pace()
        self._last: tuple[float, float, float] | None = None
        self._bar = tqdm(
            total=run.settings.train.iterations,
            initial=run.progress.iteration,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            bar_format=_FORMAT,
            disable=not run.accelerator.is_main_process,
        )

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def step(self, rate: float, waited: float, seconds: float) -> None:
        """Advance by a step.

        Args:
            rate: The learning rate.
            waited: Seconds of the step that were spent waiting for data.
            seconds: Seconds of the step.
        """
        self.pace.add_step(seconds)
        self._last = (rate, waited, seconds)
        self._bar.set_postfix_str(self.text(*self._last), refresh=False)
        self._bar.update()

    def evaluated(self, seconds: float) -> None:
        """Note how long an evaluation took, with all that is written after it."""
        self.pace.evaluation = seconds
        if self._last is not None:
            self._bar.set_postfix_str(self.text(*self._last))

    def text(self, rate: float, waited: float, seconds: float) -> str:
        """Return what the line says beside the number of the step; arguments as for `step`."""
        progress, settings = self.run.progress, self.run.settings
        left = self.pace.left(progress.iteration, settings.train.iterations, settings.evaluation.every)
        parts = [] if left is None else [f"{tqdm.format_interval(left)} left"]
        if progress.history:
            parts.append(f"mIoU {progress.history[-1]['miou']:.1f} %")
        loss = progress.mean_loss if progress.loss_count else progress.history[-1]["loss"]
        parts += [f"loss {loss:.3f}", f"lr {rate:.1e}"]
        return ", ".join([*parts, f"data {1000 * waited:.0f} of {1000 * seconds:.0f} ms"])
