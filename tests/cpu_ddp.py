"""Let timm's unmodified train.py train on several processes without a GPU: `--device-modules fanet cpu_ddp`.

train.py passes `device_ids` to DistributedDataParallel, which accepts them for GPUs only. For tests and benchmarks
only: importing this module changes torch for the whole process.
"""

from typing import Any

import torch
from torch import nn


class CpuDistributedDataParallel(nn.parallel.DistributedDataParallel):
    """DistributedDataParallel that drops `device_ids` on a CPU."""

    def __init__(self, module: nn.Module, device_ids: list | None = None, *args: Any, **kwargs: Any) -> None:
        named = [torch.device(device) for device in device_ids or []]
        on_cpu = bool(named) and all(device.type == "cpu" for device in named)
        super().__init__(module, None if on_cpu else device_ids, *args, **kwargs)


nn.parallel.DistributedDataParallel = CpuDistributedDataParallel
