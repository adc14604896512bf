"""Learning-rate schedules: pure functions of the iteration, so that a resumed run needs no state for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fanet.recipes.fields import AtLeast, Between, OneOf, Positive


@dataclass(frozen=True)
class SchedulerSettings:
    """The recipe's section `scheduler`; see `Schedule`."""

    name: Annotated[str, OneOf(("cosine", "poly", "step"))]
    warmup_iterations: Annotated[int, AtLeast(0)]
    warmup_ratio: Annotated[float, Between(0, 1)]
    min_lr: Annotated[float, AtLeast(0)]
    power: Annotated[float, AtLeast(0)]
    steps: Annotated[list[int] | None, Positive()] = None
    step_factor: Annotated[float, Between(0, 1)] = 0.1

    def build(self, iterations: int, peak: float) -> "Schedule":
        """Build the schedule of a run with this number of iterations and this peak learning rate."""
        return Schedule(
            self.name,
            iterations,
            peak,
            self.min_lr,
            self.warmup_iterations,
            self.warmup_ratio,
            self.power,
            self.steps or (),
            self.step_factor,
        )


@dataclass(frozen=True)
class Schedule:
    """Learning rate by iteration.

    Attributes:
        name: `cosine`: linear warm-up, then half a cosine over the remaining iterations, as in timm.
            `poly`: `(1 - iteration / iterations) ** power` over all iterations, multiplied by a linear warm-up over the
            first ones, as in MMSegmentation.
            `step`: the peak, multiplied by `step_factor` at each of the iterations `steps`, and by the same warm-up, as
            in Detectron2.
        iterations: Number of iterations of the run.
        peak: The highest rate.
        minimum: The rate that the step after the last one would have.
        warmup_iterations: Length of the warm-up.
        warmup_ratio: Share of the rate at which the warm-up starts.
        power: Exponent of `poly`.
        steps: Iterations at which `step` lowers the rate.
        step_factor: What it is multiplied by.
    """

    name: str
    iterations: int
    peak: float
    minimum: float = 0.0
    warmup_iterations: int = 0
    warmup_ratio: float = 0.0
    power: float = 1.0
    steps: Sequence[int] = ()
    step_factor: float = 0.1

    def __call__(self, iteration: int) -> float:
        """Return the rate of the step with index `iteration`, 0..iterations - 1."""
        span = self.peak - self.minimum
        if self.name == "step":
            passed = sum(iteration >= step for step in self.steps)
            rate = max(self.minimum, self.peak * self.step_factor**passed)
            return rate * self._warmup(iteration / max(1, self.warmup_iterations))
        if self.name == "poly":
            rate = self.minimum + span * (1 - iteration / self.iterations) ** self.power
            return rate * self._warmup(iteration / max(1, self.warmup_iterations))
        if iteration < self.warmup_iterations:
            # Counted from one: a first step at a rate of exactly 0 would be wasted.
            return self.peak * self._warmup((iteration + 1) / (self.warmup_iterations + 1))
        progress = (iteration - self.warmup_iterations) / (self.iterations - self.warmup_iterations)
        return self.minimum + span * (1 + math.cos(math.pi * progress)) / 2

    def _warmup(self, progress: float) -> float:
        """Return the factor at the share `progress` of the warm-up; 1 after it."""
        return self.warmup_ratio + (1 - self.warmup_ratio) * min(1.0, progress) if self.warmup_iterations else 1.0
