"""The processes that work on one task together, as torchrun starts them."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed

from fanet.errors import UserError
from fanet.weights.failures import one_line


@dataclass(frozen=True)
class Share:
    """What this process does: items `rank`, `rank + count`, … on `device`."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.rank == 0

    def items(self, total: int) -> range:
        """The indices, out of `total`, that are this process's."""
        return range(self.rank, total, self.count)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, which each must ask for."""
        if self.count == 1:
            return values
        # NCCL, which serves GPUs, takes nothing from other memory.
        values = values.to(self.device)
        torch.distributed.all_reduce(values)
        return values.cpu()

    def take_over(self, values: Iterable[torch.Tensor]) -> None:
        """Gives all processes the first one's values, in place; each must ask for it."""
        if self.count > 1:
            for value in values:
                torch.distributed.broadcast(value, 0)


def find_device(name: str | None = None) -> torch.device:
    """Where one process computes: the device of that name, by default the first GPU where there is one, else the CPU.

    Args:
        name: `cpu`, `cuda`, `cuda:1`, `mps`, …

    Raises:
        UserError: this machine has no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a value comes back from no device that is not there
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        here += ["mps"] if torch.backends.mps.is_available() else []
        raise UserError(
            f"there is no device {name!r} ({one_line(error, 80)}): this machine has {', '.join(here)}"
        ) from error
    return device


@contextmanager
def shared_work(device: str | None = None) -> Iterator[Share]:
    """This process's share: all of the work, or a part where torchrun or `accelerate launch` started several.

    Args:
        device: as for `find_device`, for a single process; of several each has a GPU of its own, or the CPU.

    Raises:
        UserError: there is no such device, or one is named for several processes.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1:
        yield Share(0, 1, find_device(device))
        return
    if device is not None:
        raise UserError(f"{count} processes cannot share the device {device!r}: leave it out, each has its own")
    on_gpu = torch.cuda.is_available()
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    is_ours = not torch.distributed.is_initialized()
    if is_ours:
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Share(rank, count, own)
    finally:
        if is_ours:
            torch.distributed.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process is the one that reports: torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"
