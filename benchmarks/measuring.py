"""What the benchmarks of time and memory share: turns, peak memory, the machine, files of results."""

import csv
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fanet.files import atomic_path, make_folder

RESULTS = Path(__file__).parent / "results"
QUARTILES = (0.25, 0.5, 0.75)
_KEEPS_MEMORY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def time_in_turns(runners: Sequence[Callable[[], float]], rounds: int, warmup: int) -> np.ndarray:
    """Measure (rounds, runners) milliseconds, after `warmup` rounds that are discarded.

    The order shifts by one from round to round, so that no runner always follows the same one.
    """
    times = np.empty((warmup + rounds, len(runners)))
    for i in range(warmup + rounds):
        for j in range(len(runners)):
            turn = (i + j) % len(runners)
            times[i, turn] = runners[turn]()
    return times[warmup:]


def now(device: torch.device) -> float:
    """Return the time in seconds once `device` has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_mb(device: str) -> float:
    """Return the peak memory of this process, in MB: resident, with libraries; on a GPU what torch allocated there."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    # On Linux a new process inherits ru_maxrss from its parent; its own peak is VmHWM, in KiB.
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def peaks_in_new_process(script: str, argv: Sequence[str]) -> tuple[float, float]:
    """Return the peak memory and the base, in MB, that a script prints as JSON when it also gets `--only-memory`.

    Raises:
        subprocess.CalledProcessError: It failed, and the reason is on standard error.
    """
    command = [sys.executable, script, *argv, "--only-memory"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak, base = json.loads(done.stdout.splitlines()[-1])
    return peak, base


def hardware(device: str) -> str:
    """Return the name of the device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def allocator() -> str:
    """Return `tuned` if glibc is told to keep freed memory, as the command line tells it, else `default`."""
    return "tuned" if all(name in os.environ for name in _KEEPS_MEMORY) else "default"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write the rows with a header, whole or not at all, and print the path."""
    make_folder(path.parent)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(os.path.relpath(path))


def read_csv(stem: str) -> list[dict[str, str]]:
    """Read the rows of a file in benchmarks/results/.

    Raises:
        FileNotFoundError: It has not been measured.
    """
    with open(RESULTS / f"{stem}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
