"""The course of the learning rate."""

import math


def learning_rate(
    iteration: int, iterations: int, peak: float, warmup_iterations: int = 0, minimum: float = 0.0
) -> float:
    """Learning rate of the step with index `iteration` out of `iterations`: linear warm-up, then half a cosine.

    The first step takes `peak / (warmup_iterations + 1)`, step `warmup_iterations` takes `peak`, and the cosine
    reaches `minimum` where the step after the last one would be.
    """
    if iteration < warmup_iterations:
        return peak * (iteration + 1) / (warmup_iterations + 1)
    progress = (iteration - warmup_iterations) / (iterations - warmup_iterations)
    return minimum + (peak - minimum) * (1 + math.cos(math.pi * progress)) / 2
