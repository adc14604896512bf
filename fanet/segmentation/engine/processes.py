"""The processes that work on one task together, as torchrun starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed


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


@contextmanager
def shared_work() -> Iterator[Share]:
    """This process's share: all of the work, or a part where torchrun or `accelerate launch` started several."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if count == 1:
        yield Share(0, 1, device)
        return
    is_ours = not torch.distributed.is_initialized()
    if is_ours:
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Share(rank, count, device)
    finally:
        if is_ours:
            torch.distributed.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process is the one that reports: torchrun numbers them."""
    return os.environ.get("RANK", "0") == "0"
