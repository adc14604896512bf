"""Where work is done: on which device, and in which of the processes that torchrun started."""

import os
from typing import TYPE_CHECKING

import torch

from fanet.errors import UserError, needs_extra, one_line

if TYPE_CHECKING:
    from accelerate import Accelerator


def process_count() -> int:
    """Return how many processes torchrun or `accelerate launch` started, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this process is the one that reports: torchrun's rank 0."""
    return os.environ.get("RANK", "0") == "0"


def join_processes() -> "Accelerator":
    """Return accelerate's view of the processes that work on one task, and of this process's device.

    Raises:
        UserError: Accelerate is not installed.
    """
    with needs_extra("seg", "accelerate"):
        from accelerate import Accelerator
    # Without cpu=True, each of several processes without an accelerator would run as if it were alone.
    on_cpus = process_count() > 1 and not torch.accelerator.is_available()
    # The trainer does mixed precision itself: accelerate's setting is fixed by the first run of a Python process.
    accelerator = Accelerator(mixed_precision="no", cpu=on_cpus)
    accelerator.gradient_accumulation_steps = 1  # the trainer accumulates itself, whatever ACCELERATE_… says
    return accelerator


def leave_processes() -> None:
    """Close the connections to the other processes, if there are any."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def find_device(name: str | None = None) -> torch.device:
    """Return the device on which this process computes.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, …, for a process that works alone. By default the machine's accelerator
            if it has one, else the CPU; each of several processes has an accelerator of its own.

    Raises:
        UserError: This machine has no such device, or a device is named for several processes.
    """
    if name is None:
        here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
        assert here is not None, "an available accelerator is the current one"
        alone = process_count() == 1 or here.type == "cpu"
        return here if alone else torch.device(here.type, int(os.environ.get("LOCAL_RANK", "0")))
    if process_count() > 1:
        raise UserError(f"{process_count()} processes cannot share the device {name!r}: leave it out, each has its own")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # fails unless the device exists and can compute
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"there is no device {name!r} ({one_line(error, 80)}): this machine has {', '.join(_devices())}"
        ) from error
    return device


def _devices() -> list[str]:
    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = find_device().type
    return ["cpu", *(f"{kind}:{index}" for index in range(torch.accelerator.device_count()))]
