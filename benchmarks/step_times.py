"""Split the steps of timm's unmodified train.py into data, forward, backward and optimiser.

Imported by `--device-modules … step_times`, in runs on several processes. Hooks of torch record when the network and
the optimiser start and end. The phases are
- data: from the end of the optimiser's step to the network's start (loading, augmentation, bookkeeping),
- forward: the network,
- backward: the loss and all gradients, including their exchange between processes,
- optimiser.

Rank 0 writes the CSV file that the environment variable STEP_TIMES names: one line per step, in milliseconds.
"""

import atexit
import csv
import os
import time
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

PHASES = ("data", "forward", "backward", "optimiser")

_steps: list[list[float]] = []
_marks = [time.perf_counter()]


def _mark(*_: Any) -> None:
    _marks.append(time.perf_counter())


def _mark_network(module: nn.Module, *_: Any) -> None:
    if isinstance(module, nn.parallel.DistributedDataParallel):
        _mark()


def _end_step(*_: Any) -> None:
    _mark()
    if len(_marks) == len(PHASES) + 1:  # not if gradients are accumulated
        _steps.append([1000 * (end - start) for start, end in zip(_marks[:-1], _marks[1:], strict=True)])
    del _marks[:-1]


def _write() -> None:
    with open(os.environ["STEP_TIMES"], "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([f"{phase}_ms" for phase in PHASES])
        writer.writerows([f"{value:.3f}" for value in step] for step in _steps)


register_module_forward_pre_hook(_mark_network)
register_module_forward_hook(_mark_network)
register_optimizer_step_pre_hook(_mark)
register_optimizer_step_post_hook(_end_step)
if os.environ.get("RANK", "0") == "0":
    atexit.register(_write)
