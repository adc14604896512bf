"""Time networks side by side.

    python benchmarks/throughput.py fanet_base plain-norm:fanet_base focalnet_tiny_lrf upernet:fanet_base --img-size 224

All networks are in memory together and take turns, one forward pass each per round, in an order that shifts by one
from round to round, so that other load on the machine affects all of them alike. The first rounds are discarded. Then
each network runs once in its own process for its peak memory. `networks.py` explains the names; the weights are random.
Compare ratios rather than times between files.

Writes `benchmarks/results/throughput-<conditions>.csv` with the columns

model                 as given
params_m              millions of parameters
images_per_s          batch size over the median latency
latency_ms            median over the rounds, of one forward pass of the whole batch; _q1 and _q3 are the quartiles
ratio                 median over the rounds of this network's time over that of the first network in the same round;
                      ratio_q1 and ratio_q3 are the quartiles
peak_memory_mb        the peak memory (1 MB = 1e6 bytes) of the process, on a GPU of its tensors alone
base_memory_mb        of that, the peak before the network was built: Python and its libraries
rounds, hardware, torch, timm
"""

import argparse
import csv
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from networks import build
from torch import nn

from fanet.backbone.complexity import count_parameters
from fanet.errors import UserError
from fanet.files import atomic_path, make_folder

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "model",
    "params_m",
    "images_per_s",
    "latency_ms",
    "latency_ms_q1",
    "latency_ms_q3",
    "ratio",
    "ratio_q1",
    "ratio_q3",
    "peak_memory_mb",
    "base_memory_mb",
    "rounds",
    "hardware",
    "torch",
    "timm",
)
AMP_DTYPES = {"cuda": torch.float16}  # bfloat16 elsewhere


class Runner:
    """A network and its input under the conditions of the command line; a call is one timed forward pass."""

    def __init__(self, spec: str, args: argparse.Namespace) -> None:
        self.device = torch.device(args.device)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        network = build(spec, args.img_size, device=args.device)
        self.params = count_parameters(network)
        self.network: nn.Module = network.to(memory_format=layout)
        if args.compile:
            self.network = torch.compile(self.network)
        self.x = torch.rand(args.batch_size, 3, *args.img_size, device=self.device).to(memory_format=layout)
        self.amp = args.amp

    def __call__(self) -> float:
        """Run a forward pass and return its milliseconds."""
        self._wait()
        start = time.perf_counter()
        with torch.inference_mode(), self._autocast():
            self.network(self.x)
        self._wait()
        return 1e3 * (time.perf_counter() - start)

    def _autocast(self) -> Any:
        if not self.amp:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=AMP_DTYPES.get(self.device.type, torch.bfloat16))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def time_in_turns(runners: Sequence[Runner], rounds: int, warmup: int) -> np.ndarray:
    """Measure (rounds, runners) milliseconds, after `warmup` rounds that are discarded."""
    times = np.empty((warmup + rounds, len(runners)))
    for i in range(warmup + rounds):
        for j in range(len(runners)):
            turn = (i + j) % len(runners)
            times[i, turn] = runners[turn]()
    return times[warmup:]


def peak_memory_mb(args: argparse.Namespace) -> tuple[float, float]:
    """Return the peak memory of one network in this process, in MB, and the peak before it was built.

    On the CPU it is the process's resident memory, including libraries; on a GPU what torch allocated there.
    """
    base = _peak(args.device)
    runner = Runner(args.models[0], args)
    runner()
    return _peak(args.device), base


def _peak(device: str) -> float:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    # On Linux a new process inherits ru_maxrss from its parent; its own peak is VmHWM, in KiB.
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def peak_memory_in_new_process(spec: str, argv: Sequence[str]) -> tuple[float, float]:
    """Return `peak_memory_mb` of one network in a new process that gets the options in `argv`.

    Raises:
        subprocess.CalledProcessError: It failed, and the reason is on standard error.
    """
    command = [sys.executable, __file__, spec, *argv, "--only-memory"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak, base = json.loads(done.stdout.splitlines()[-1])
    return peak, base


def summarise(times: np.ndarray, batch_size: int) -> list[dict[str, str]]:
    """Summarise (rounds, networks) milliseconds as medians and quartiles, a row per network."""
    q1, median, q3 = np.quantile(times, (0.25, 0.5, 0.75), axis=0)
    ratio_q1, ratio, ratio_q3 = np.quantile(times / times[:, :1], (0.25, 0.5, 0.75), axis=0)
    return [
        {
            "images_per_s": f"{1e3 * batch_size / median[i]:.2f}",
            "latency_ms": f"{median[i]:.2f}",
            "latency_ms_q1": f"{q1[i]:.2f}",
            "latency_ms_q3": f"{q3[i]:.2f}",
            "ratio": f"{ratio[i]:.3f}",
            "ratio_q1": f"{ratio_q1[i]:.3f}",
            "ratio_q3": f"{ratio_q3[i]:.3f}",
        }
        for i in range(times.shape[1])
    ]


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


def conditions(args: argparse.Namespace) -> str:
    """Return what the numbers depend on besides the networks, as part of a file name."""
    height, width = args.img_size
    parts = [args.device.replace(":", ""), f"{width}x{height}", f"batch{args.batch_size}"]
    if torch.device(args.device).type == "cpu":
        parts.append(f"{torch.get_num_threads()}threads")
    parts.append("amp" if args.amp else "fp32")
    parts += ["channels-last"] * args.channels_last + ["compiled"] * args.compile
    return "-".join(parts + ([args.label] if args.label else []))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="timm model, plain-norm:NAME or DECODER:NAME")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default: %(default)s)")
    parser.add_argument("--amp", action="store_true", help="autocast: float16 on cuda, bfloat16 on cpu")
    parser.add_argument("--channels-last", action="store_true", help="weights and input in channels-last memory")
    parser.add_argument("--compile", action="store_true", help="torch.compile every network")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N")
    parser.add_argument("--img-size", type=int, nargs="+", default=[224], metavar="S", help="a side, or height width")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads on the CPU (default: torch's own)")
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="rounds that count (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=int, default=5, metavar="N", help="rounds discarded first (default: %(default)s)"
    )
    parser.add_argument("--label", help="appended to the file name, to distinguish sets of networks")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--only-memory", action="store_true", help="print [peak, base] memory in MB of one network")
    args = parser.parse_args(argv)
    if len(args.img_size) > 2 or min([*args.img_size, args.batch_size, args.rounds, args.threads or 1]) < 1:
        parser.error("--img-size takes one or two numbers, and all numbers must be above 0")
    args.img_size = (args.img_size[0], args.img_size[-1])
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def measure(args: argparse.Namespace, argv: Sequence[str]) -> list[dict[str, Any]]:
    """Time all networks, then measure their memory, and print the results."""
    memory_argv = [word for word in argv if word not in args.models]
    runners = [Runner(spec, args) for spec in args.models]
    rows: list[dict[str, Any]] = []
    for spec, runner, row in zip(
        args.models, runners, summarise(time_in_turns(runners, args.rounds, args.warmup), args.batch_size), strict=True
    ):
        peak, base = peak_memory_in_new_process(spec, memory_argv)
        rows.append(
            {"model": spec, "params_m": f"{runner.params / 1e6:.6f}"}
            | row
            | {
                "peak_memory_mb": f"{peak:.0f}",
                "base_memory_mb": f"{base:.0f}",
                "rounds": args.rounds,
                "hardware": hardware(args.device),
                "torch": torch.__version__,
                "timm": timm.__version__,
            }
        )
        print(
            f"{spec}: {row['latency_ms']} ms ({row['latency_ms_q1']} to {row['latency_ms_q3']}), "
            f"{row['ratio']} of the first, {peak:.0f} MB"
        )
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure and write the table."""
    args = parse(argv)
    try:
        if args.only_memory:
            print(json.dumps(peak_memory_mb(args)))
            return 0
        rows = measure(args, argv)
        path = make_folder(args.output) / f"throughput-{conditions(args)}.csv"
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except UserError as error:
        print(f"throughput: error: {error}", file=sys.stderr)
        return 2
    print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
