"""Time networks side by side, in one or several modes.

    python benchmarks/throughput.py fanet_base plain-norm:fanet_base focalnet_tiny_lrf upernet:fanet_base --img-size 224
    python benchmarks/throughput.py plain-norm:fanet_base fanet_base --modes eager compile openvino:bf16 --batch-size 4
    python benchmarks/throughput.py plain-norm:fanet_base fanet_base --modes train train:bf16:compile --batch-size 4

All networks are in memory together, once for each mode, and take turns, one forward pass or step each per round, in an
order that shifts by one from round to round, so that other load on the machine affects all of them alike. The first
rounds are discarded. Then each row runs once in a process of its own for its peak memory. `networks.py` explains the
names of networks, of which `plain-norm:NAME` has the structure of the authors' code, `modes.py` those of modes. The
weights are random. A mode that this machine does not offer is left out with a line. Compare ratios rather than times
between files.

Writes `benchmarks/results/throughput-<conditions>.csv` with a row for each network in each mode and the columns

model, mode           as given
params_m              millions of parameters
gmacs                 billions of multiply-accumulates of a forward pass on one image
images_per_s          batch size over the median latency
latency_ms            median over the rounds, of one pass of the whole batch; _q1 and _q3 are the quartiles
ratio                 median over the rounds of this row's time over that of the first network in the first mode in the
                      same round; ratio_q1 and ratio_q3 are the quartiles
ms_per_gmac           latency over the gmacs of the whole batch, those of the forward pass also in training
start_s               seconds until the first result from a network in memory: preparing the mode and the first pass;
                      a compiler whose results are on disk from an earlier run starts from these
peak_memory_mb        the peak memory (1 MB = 1e6 bytes) of the process, on a GPU of its tensors alone
base_memory_mb        of that, the peak before the network was built: Python and its libraries
allocator             `tuned` if MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ are set, as in the Makefile
rounds, hardware, torch, timm
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from measuring import (
    QUARTILES,
    RESULTS,
    allocator,
    hardware,
    now,
    peak_mb,
    peaks_in_new_process,
    time_in_turns,
    write_csv,
)
from modes import check_mode, prepare
from networks import build

from fanet.backbone.complexity import count_macs, count_parameters
from fanet.errors import UserError

COLUMNS = (
    "model",
    "mode",
    "params_m",
    "gmacs",
    "images_per_s",
    "latency_ms",
    "latency_ms_q1",
    "latency_ms_q3",
    "ratio",
    "ratio_q1",
    "ratio_q3",
    "ms_per_gmac",
    "start_s",
    "peak_memory_mb",
    "base_memory_mb",
    "allocator",
    "rounds",
    "hardware",
    "torch",
    "timm",
)


class Runner:
    """A network in a mode and its input, under the conditions of the command line; a call is one timed pass.

    Raises:
        UserError: This machine or this network does not offer the mode.
    """

    def __init__(self, spec: str, mode: str, args: argparse.Namespace) -> None:
        self.spec, self.mode = spec, mode
        self.device = torch.device(args.device)
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        network = build(spec, args.img_size, device=args.device).to(memory_format=layout)
        self.x = torch.rand(args.batch_size, 3, *args.img_size, device=self.device).to(memory_format=layout)
        start = time.perf_counter()
        self.run = prepare(network, mode)
        self()
        self.start_s = time.perf_counter() - start

    def __call__(self) -> float:
        """Run once and return the milliseconds."""
        start = now(self.device)
        self.run(self.x)
        return 1e3 * (now(self.device) - start)


def runners(args: argparse.Namespace) -> list[Runner]:
    """Prepare every network in every mode; what this machine does not offer is left out with a line.

    Raises:
        UserError: The first one, to which all are compared, is not on offer.
    """
    ready: list[Runner] = []
    for spec in args.models:
        for mode in args.modes:
            try:
                ready.append(Runner(spec, mode, args))
            except UserError as error:
                if not ready:
                    raise
                print(f"left out: {spec} {mode}: {error}", flush=True)
    return ready


def peak_memory_mb(args: argparse.Namespace) -> tuple[float, float]:
    """Return the peak memory of the first network in the first mode, in MB, and the peak before it was built."""
    base = peak_mb(args.device)
    Runner(args.models[0], args.modes[0], args)
    return peak_mb(args.device), base


def peak_memory_in_new_process(runner: Runner, args: argparse.Namespace) -> tuple[float, float]:
    """Return `peak_memory_mb` of one network in one mode in a new process."""
    argv = [runner.spec, "--modes", runner.mode, "--device", args.device, "--batch-size", str(args.batch_size)]
    argv += ["--img-size", *map(str, args.img_size), "--threads", str(torch.get_num_threads())]
    return peaks_in_new_process(__file__, argv + ["--channels-last"] * args.channels_last)


def summarise(times: np.ndarray, batch_size: int, gmacs: Sequence[float]) -> list[dict[str, str]]:
    """Summarise (rounds, rows) milliseconds as medians and quartiles, a row each; `gmacs` are those of one image."""
    q1, median, q3 = np.quantile(times, QUARTILES, axis=0)
    ratio_q1, ratio, ratio_q3 = np.quantile(times / times[:, :1], QUARTILES, axis=0)
    return [
        {
            "gmacs": f"{gmacs[i]:.6f}",
            "images_per_s": f"{1e3 * batch_size / median[i]:.2f}",
            "latency_ms": f"{median[i]:.2f}",
            "latency_ms_q1": f"{q1[i]:.2f}",
            "latency_ms_q3": f"{q3[i]:.2f}",
            "ratio": f"{ratio[i]:.3f}",
            "ratio_q1": f"{ratio_q1[i]:.3f}",
            "ratio_q3": f"{ratio_q3[i]:.3f}",
            "ms_per_gmac": f"{median[i] / batch_size / gmacs[i]:.2f}",
        }
        for i in range(times.shape[1])
    ]


def conditions(args: argparse.Namespace) -> str:
    """Return what the numbers depend on besides networks and modes, as part of a file name."""
    height, width = args.img_size
    parts = [args.device.replace(":", ""), f"{width}x{height}", f"batch{args.batch_size}"]
    if torch.device(args.device).type == "cpu":
        parts.append(f"{torch.get_num_threads()}threads")
    parts += ["channels-last"] * args.channels_last
    return "-".join(parts + ([args.label] if args.label else []))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="timm model, plain-norm:NAME or DECODER:NAME")
    parser.add_argument("--modes", metavar="MODE", nargs="+", default=["eager"], help="(default: eager)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default: %(default)s)")
    parser.add_argument("--channels-last", action="store_true", help="weights and input in channels-last memory")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N")
    parser.add_argument("--img-size", type=int, nargs="+", default=[224], metavar="S", help="a side, or height width")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads on the CPU (default: torch's own)")
    parser.add_argument("--rounds", type=int, default=30, metavar="N", help="rounds that count (default: %(default)s)")
    parser.add_argument(
        "--warmup", type=int, default=5, metavar="N", help="rounds discarded first (default: %(default)s)"
    )
    parser.add_argument("--label", help="appended to the file name, to distinguish sets of networks")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--only-memory", action="store_true", help="print [peak, base] memory in MB of the first row")
    args = parser.parse_args(argv)
    if len(args.img_size) > 2 or min([*args.img_size, args.batch_size, args.rounds, args.threads or 1]) < 1:
        parser.error("--img-size takes one or two numbers, and all numbers must be above 0")
    args.img_size = (args.img_size[0], args.img_size[-1])
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time everything, then measure the memory, and print the results."""
    for mode in args.modes:
        check_mode(mode)
    twins = {spec: build(spec, args.img_size, device="meta") for spec in args.models}
    gmacs = {spec: count_macs(twin, args.img_size) / 1e9 for spec, twin in twins.items()}
    ready = runners(args)
    times = time_in_turns(ready, args.rounds, args.warmup)
    rows: list[dict[str, Any]] = []
    for runner, row in zip(
        ready, summarise(times, args.batch_size, [gmacs[runner.spec] for runner in ready]), strict=True
    ):
        peak, base = peak_memory_in_new_process(runner, args)
        rows.append(
            {"model": runner.spec, "mode": runner.mode, "params_m": f"{count_parameters(twins[runner.spec]) / 1e6:.6f}"}
            | row
            | {
                "start_s": f"{runner.start_s:.2f}",
                "peak_memory_mb": f"{peak:.0f}",
                "base_memory_mb": f"{base:.0f}",
                "allocator": allocator(),
                "rounds": args.rounds,
                "hardware": hardware(args.device),
                "torch": torch.__version__,
                "timm": timm.__version__,
            }
        )
        print(
            f"{runner.spec} {runner.mode}: {row['latency_ms']} ms ({row['latency_ms_q1']} to {row['latency_ms_q3']}), "
            f"{row['ratio']} of the first, {row['ms_per_gmac']} ms per GMAC, {peak:.0f} MB",
            flush=True,
        )
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure and write the table."""
    args = parse(argv)
    try:
        if args.only_memory:
            print(json.dumps(peak_memory_mb(args)))
            return 0
        write_csv(args.output / f"throughput-{conditions(args)}.csv", COLUMNS, measure(args))
    except UserError as error:
        print(f"throughput: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
