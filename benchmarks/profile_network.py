"""Split the time of a forward pass or of a step of training: by operation, and convolutions by what they compute.

    python benchmarks/profile_network.py fanet_base --batch-size 4 --threads 2
    python benchmarks/profile_network.py fanet_base --batch-size 4 --threads 2 --mode train

Writes `benchmarks/results/profile-<model>-<mode>-<conditions>.csv` with a row for everything that takes time:

kind, name     `whole` without a profiler: the pass, and a product of two matrices of 2048×2048, this machine's limit;
               `operation` by torch's profiler; `primitive` by oneDNN, and `convolution`, each shape of them
calls, ms      of one pass, the mean over the rounds; of `whole` the median
share_percent  of the time of all rows of the same kind; empty for `whole`
gflops         billions of floating-point operations a second, a multiply-accumulate being two; 0 where not counted
"""

import argparse
import ctypes
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, write_csv
from modes import check_mode, prepare
from networks import build
from torch.backends import mkldnn
from torch.profiler import ProfilerActivity, profile

from fanet.errors import UserError

COLUMNS = ("kind", "name", "calls", "ms", "share_percent", "gflops")
# Torch's operations without `aten::` and the underscore of those in place; all others are "other"
GROUPS = {
    "mkldnn_convolution": "convolution",
    "_slow_conv2d_forward": "convolution",  # 1×1 on one thread, small batches
    "convolution_backward": "convolution, backward",
    "gelu": "GELU",
    "gelu_backward": "GELU, backward",
    "native_layer_norm": "layer norm",
    "native_layer_norm_backward": "layer norm, backward",
    "upsample_bilinear2d": "resizing",
    "upsample_bilinear2d_backward": "resizing, backward",
    **dict.fromkeys(("add", "sub", "mul", "neg"), "sums and products of maps"),
    **dict.fromkeys(("copy", "cat"), "copying and concatenation"),
}
SHAPE = re.compile(r"(?:g(\d+))?mb(\d+)_ic(\d+)oc(\d+)_ih\d+oh(\d+)kh(\d+)\D.*_iw\d+ow(\d+)kw(\d+)\D")
LIMIT_SIDE = 2048

# (kind, name, calls, milliseconds, floating-point operations)
Entry = tuple[str, str, int, float, float]


def whole(name: str, run: Callable[[], object], rounds: int, flops: float = 0.0) -> Entry:
    """Time calls as they are; the first is discarded."""
    times = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return "whole", name, rounds, rounds * float(np.median(times[1:])), rounds * flops


def operations(run: Callable[[], object], rounds: int) -> Iterator[Entry]:
    """Yield the time in each of torch's operations, without those that it calls."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:  # else PyTorch 2.10 warns
        for _ in range(rounds):
            run()
    for event in profiler.key_averages():
        name = GROUPS.get(event.key.removeprefix("aten::").removesuffix("_"), "other")
        yield "operation", name, event.count, event.self_cpu_time_total / 1e3, 0.0


def primitives(run: Callable[[], object], rounds: int) -> Iterator[Entry]:
    """Yield the calls of oneDNN's primitives, from the lines that it prints to the process's output."""
    flush, stdout = ctypes.CDLL(None).fflush, os.dup(1)
    with tempfile.TemporaryFile("w+") as file:
        flush(None)
        os.dup2(file.fileno(), 1)
        try:
            with mkldnn.verbose(mkldnn.VERBOSE_ON):
                for _ in range(rounds):
                    run()
        finally:
            flush(None)
            os.dup2(stdout, 1)
            os.close(stdout)
        file.seek(0)
        lines = [line.split(",") for line in file if ",exec," in line]
    for line in lines:
        primitive, direction, ms = line[5], line[7].replace("_", " ").removesuffix(" training"), float(line[-1])
        found = SHAPE.match(line[-2]) if primitive == "convolution" else None
        if found is None:
            yield "primitive", primitive, 1, ms, 0.0
        else:
            g, mb, ic, oc, oh, kh, ow, kw = (int(number or 1) for number in found.groups())
            flops = 2.0 * mb * oc * oh * ow * (ic // g) * kh * kw
            groups = f" in {g} groups" if g > 1 else ""
            yield "primitive", f"convolution, {direction}", 1, ms, flops
            yield "convolution", f"{kh}×{kw}, {ic} to {oc}{groups}, {oh}×{ow}, {direction}", 1, ms, flops


def summarise(entries: Sequence[Entry], rounds: int) -> list[dict[str, str]]:
    """Add up the entries of one kind and name, a row each, the longest of every kind first."""
    totals: dict[tuple[str, str], np.ndarray] = {}
    for kind, name, *numbers in entries:
        totals[kind, name] = totals.get((kind, name), np.zeros(3)) + np.array(numbers)
    kinds = list(dict.fromkeys(kind for kind, _ in totals))
    of_kind = {kind: sum(total[1] for key, total in totals.items() if key[0] == kind) for kind in kinds}
    return [
        {
            "kind": kind,
            "name": name,
            "calls": f"{calls / rounds:g}",
            "ms": f"{ms / rounds:.2f}",
            "share_percent": "" if kind == "whole" else f"{100 * ms / of_kind[kind]:.1f}",
            "gflops": f"{flops / ms / 1e6:.1f}",
        }
        for (kind, name), (calls, ms, flops) in sorted(
            totals.items(), key=lambda item: (kinds.index(item[0][0]), -item[1][1])
        )
    ]


def main(argv: Sequence[str]) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="as for throughput.py")
    parser.add_argument("--mode", default="eager", help="as for throughput.py (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N")
    parser.add_argument("--img-size", type=int, default=224, metavar="S", help="side (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads (default: torch's own)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads or torch.get_num_threads())
    try:
        check_mode(args.mode)
        mode = prepare(build(args.model, (args.img_size, args.img_size)), args.mode)
    except UserError as error:
        print(f"profile_network: error: {error}", file=sys.stderr)
        return 2
    x, square = torch.rand(args.batch_size, 3, args.img_size, args.img_size), torch.rand(LIMIT_SIDE, LIMIT_SIDE)
    entries = [
        whole("pass", lambda: mode(x), args.rounds),
        whole("matrix product", lambda: square @ square, args.rounds, 2.0 * LIMIT_SIDE**3),
        *operations(lambda: mode(x), args.rounds),
        *primitives(lambda: mode(x), args.rounds),
    ]
    name = "-".join(("profile", args.model, args.mode)).replace(":", "-")
    size = f"{args.img_size}x{args.img_size}-batch{args.batch_size}-{torch.get_num_threads()}threads"
    write_csv(args.output / f"{name}-{size}.csv", COLUMNS, summarise(entries, args.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
