"""Measure how time and memory of a forward pass grow with resolution, batch and width.

    python benchmarks/scaling.py resolution                      # fanet_base and convnext_tiny, 224 to 2048 pixels
    python benchmarks/scaling.py batch --models fanet_base swin_tiny_patch4_window7_224
    python benchmarks/scaling.py width --rounds 7 --threads 2

One quantity changes, the others stay at 224×224 pixels, batch 1 and the model's own widths. All points of all networks
take turns in every round, so that other load on the machine does not bend the curve; for its peak memory each runs once
in a process of its own. Inference in float32 with random weights.

Writes `benchmarks/results/scaling-<axis>-<conditions>.csv` with a row for each network and point, and the columns

model, axis
value                 the side of the image, the images of a batch, or the channels of the first stage
amount                what the exponent refers to: pixels, images or channels
latency_ms            median over the rounds; _q1 and _q3 are the quartiles
memory_mb             the process's peak memory beyond that before the pass: its maps
rounds, hardware, torch, timm

It prints for time and memory the exponent, the slope of a line through the points on logarithmic axes (least squares),
and where the curve bends: the first point at which the slope from the point before exceeds the median slope between
neighbours by more than a fifth.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from measuring import QUARTILES, RESULTS, hardware, now, peak_mb, peaks_in_new_process, time_in_turns, write_csv
from networks import build
from torch import nn

from fanet.errors import UserError

COLUMNS = (
    "model",
    "axis",
    "value",
    "amount",
    "latency_ms",
    "latency_ms_q1",
    "latency_ms_q3",
    "memory_mb",
    "rounds",
    "hardware",
    "torch",
    "timm",
)
SIDE = 224
VALUES = {
    "resolution": (224, 320, 448, 640, 896, 1280, 1600, 2048),
    "batch": (1, 2, 4, 8, 16, 32),
    "width": (32, 48, 64, 96, 128, 192),
}
BEND = 0.2


def exponent(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """Return k of the power law cost ~ amount^k, by least squares on the logarithms."""
    return float(np.polyfit(np.log(amounts), np.log(costs), 1)[0])


def bend(amounts: Sequence[float], costs: Sequence[float]) -> int | None:
    """Return the first point to which the cost rises more steeply than usual, by `BEND`; None if there is none."""
    slopes = np.diff(np.log(costs)) / np.diff(np.log(amounts))
    steep = np.flatnonzero(slopes > np.median(slopes) + BEND)
    return int(steep[0]) + 1 if len(steep) else None


class Point:
    """A network and an input at one value of the axis; a call is one timed forward pass."""

    def __init__(self, spec: str, axis: str, value: int, device: str) -> None:
        self.spec, self.value = spec, value
        self.device = torch.device(device)
        self.network = build_at(spec, axis, value, device)
        side, batch = side_and_batch(axis, value)
        self.x = torch.rand(batch, 3, side, side, device=self.device)

    @torch.inference_mode()
    def __call__(self) -> float:
        """Run once and return the milliseconds."""
        start = now(self.device)
        self.network(self.x)
        return 1e3 * (now(self.device) - start)


def side_and_batch(axis: str, value: int) -> tuple[int, int]:
    """Return the side of the images, in pixels, and their number."""
    return value if axis == "resolution" else SIDE, value if axis == "batch" else 1


def build_at(spec: str, axis: str, value: int, device: str) -> nn.Module:
    """Build a network for one value of the axis; four stages of a given width double their channels.

    Raises:
        UserError: The network is unknown, or its width is fixed.
    """
    side, _ = side_and_batch(axis, value)
    if axis != "width":
        return build(spec, (side, side), device)
    try:
        return build(spec, (side, side), device, dims=tuple(value * 2**stage for stage in range(4)))
    except TypeError as error:
        raise UserError(f"{spec} takes no dims: leave it out of the axis `width`") from error


def peak_memory_mb(args: argparse.Namespace) -> tuple[float, float]:
    """Return the peak memory of the first network at the first value in this process, in MB, and before its pass."""
    point = Point(args.models[0], args.axis, args.values[0], args.device)
    with torch.inference_mode():
        build("test_fanet", (32, 32), args.device)(torch.rand(1, 3, 32, 32, device=args.device))  # loads libraries
    base = peak_mb(args.device)
    point()
    return peak_mb(args.device), base


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time all points in turns, then measure their memory."""
    ready = [Point(spec, args.axis, value, args.device) for spec in args.models for value in args.values]
    quartiles = np.quantile(time_in_turns(ready, args.rounds, args.warmup), QUARTILES, axis=0).T
    rows: list[dict[str, Any]] = []
    for point, (q1, median, q3) in zip(ready, quartiles, strict=True):
        argv = [args.axis, "--models", point.spec, "--values", str(point.value), "--device", args.device]
        peak, base = peaks_in_new_process(__file__, [*argv, "--threads", str(torch.get_num_threads())])
        rows.append(
            {
                "model": point.spec,
                "axis": args.axis,
                "value": point.value,
                "amount": point.value**2 if args.axis == "resolution" else point.value,
                "latency_ms": f"{median:.2f}",
                "latency_ms_q1": f"{q1:.2f}",
                "latency_ms_q3": f"{q3:.2f}",
                "memory_mb": f"{peak - base:.1f}",
                "rounds": args.rounds,
                "hardware": hardware(args.device),
                "torch": torch.__version__,
                "timm": timm.__version__,
            }
        )
    return rows


def fit(rows: Sequence[dict[str, Any]], column: str) -> tuple[float, str | None]:
    """Return the exponent of a column over the points of one network, and the value at which it bends, if it does."""
    amounts, costs = ([float(row[key]) for row in rows] for key in ("amount", column))
    place = bend(amounts, costs)
    return exponent(amounts, costs), None if place is None else str(rows[place]["value"])


def by_model(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Sort rows by network, in the order of the file."""
    return {spec: [row for row in rows if row["model"] == spec] for spec in dict.fromkeys(row["model"] for row in rows)}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("axis", choices=VALUES, help="what changes")
    parser.add_argument("--models", nargs="+", default=["fanet_base", "convnext_tiny"], metavar="MODEL")
    parser.add_argument("--values", type=int, nargs="+", metavar="V", help="points on the axis (default: a range)")
    parser.add_argument("--max-pixels", type=int, default=2048**2, metavar="N", help="of a batch (default: 2048²)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads on the CPU (default: torch's own)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="rounds that count (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=1, metavar="N", help="discarded first (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--only-memory", action="store_true", help="print [peak, base] memory in MB of the first point")
    args = parser.parse_args(argv)
    if min([args.max_pixels, args.rounds, args.threads or 1, *(args.values or ())]) < 1:
        parser.error("all numbers must be above 0")
    wanted = [(value, *side_and_batch(args.axis, value)) for value in args.values or VALUES[args.axis]]
    args.values = [value for value, side, batch in wanted if batch * side**2 <= args.max_pixels]
    if len(args.values) < 3 and not args.only_memory:
        parser.error("a curve needs three points or more: raise --max-pixels or give more --values")
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def main(argv: Sequence[str]) -> int:
    """Measure, print and write the table."""
    args = parse(argv)
    try:
        if args.only_memory:
            print(json.dumps(peak_memory_mb(args)))
            return 0
        rows = measure(args)
    except UserError as error:
        print(f"scaling: error: {error}", file=sys.stderr)
        return 2
    for spec, own in by_model(rows).items():
        for name, column in (("time", "latency_ms"), ("memory", "memory_mb")):
            power, place = fit(own, column)
            steeper = f", steeper from {place} on" if place else ""
            print(f"{spec}: {name} grows with {args.axis} to the power of {power:.2f}{steeper}")
    threads = f"-{torch.get_num_threads()}threads" if torch.device(args.device).type == "cpu" else ""
    write_csv(args.output / f"scaling-{args.axis}-{args.device.replace(':', '')}{threads}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
