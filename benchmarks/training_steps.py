"""Time the steps of `fanet train` with different settings, each run in a process of its own, in turns.

    python benchmarks/training_steps.py clutter --settings train.amp=none --settings train.amp=bf16
    python benchmarks/training_steps.py clutter --settings "" --checkout ../before

With `--checkout`, the code in that folder runs first, with the first settings, and all else is compared to it. Writes
`benchmarks/results/training_steps-<name>.csv` with a row for each settings:

code, settings   `this` or `before`, and what differs from the recipe
step_ms          median over the rounds of the median step, data included
step_ms_low, _high   the least and the largest of these medians
images_per_s     by the median
times_as_fast    than the first row, by the medians
peak_memory_mb   of the process, libraries and the images in memory included; the median over the rounds
"""

import argparse
import atexit
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from measuring import RESULTS, peak_mb, write_csv

from fanet.recipes import load_recipe

COLUMNS = (
    "code",
    "settings",
    "step_ms",
    "step_ms_low",
    "step_ms_high",
    "images_per_s",
    "times_as_fast",
    "peak_memory_mb",
)
# Steps that are not counted: memory grows and primitives are compiled.
WARMUP = 15


def train_and_print(argv: Sequence[str]) -> int:
    """Run `fanet train` in this process, and print the milliseconds of its steps and the peak memory as JSON."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from fanet.cli import main as fanet

    ends: list[float] = []
    register_optimizer_step_post_hook(lambda *_: ends.append(time.perf_counter()))

    def report() -> None:
        times = [1000 * (end - start) for start, end in zip(ends[WARMUP:-1], ends[WARMUP + 1 :], strict=True)]
        print(json.dumps([times, peak_mb("cpu")]))

    atexit.register(report)
    with contextlib.redirect_stdout(sys.stderr):
        return fanet(["train", *argv])


def measure(code: Path, recipe: str, settings: str, steps: int) -> tuple[float, float]:
    """Return the median step in milliseconds and the peak memory in MB of a training by the code in a folder.

    Raises:
        subprocess.CalledProcessError: It failed, and the reason is on standard error.
    """
    iterations = WARMUP + 1 + steps
    short = (f"train.iterations={iterations}", f"evaluation.every={iterations}", "scheduler.warmup_iterations=1")
    with tempfile.TemporaryDirectory() as folder:
        argv = [recipe, *short, *shlex.split(settings), "-o", str(Path(folder, "run"))]
        done = subprocess.run(
            [sys.executable, __file__, "--child", *argv],
            env={**os.environ, "PYTHONPATH": str(code)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    times, peak = json.loads(done.stdout.splitlines()[-1])
    return statistics.median(times), peak


def main(argv: Sequence[str]) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="as for fanet train")
    parser.add_argument("--settings", action="append", required=True, help='such as "train.amp=bf16"; may be repeated')
    parser.add_argument("--common", default="", metavar="SETTINGS", help="of all runs, such as a smaller data set")
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="other code of this project, to compare with")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--name", help="of the file (default: the recipe)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    this = Path(__file__).resolve().parents[1]
    runs = [("this", this, settings) for settings in args.settings]
    if args.checkout:
        runs.insert(0, ("before", args.checkout.resolve(), args.settings[0]))
    measured: list[list[tuple[float, float]]] = [[] for _ in runs]
    for _ in range(args.rounds):
        for found, (_, code, settings) in zip(measured, runs, strict=True):
            try:
                found.append(measure(code, args.recipe, f"{args.common} {settings}", args.steps))
            except subprocess.CalledProcessError:
                return 2
    images = load_recipe(args.recipe, shlex.split(args.common))["train"]["batch_size"]
    rows = []
    first = statistics.median(step for step, _ in measured[0])
    for (code, _, settings), found in zip(runs, measured, strict=True):
        steps, peaks = zip(*found, strict=True)
        step = statistics.median(steps)
        rows.append(
            {
                "code": code,
                "settings": settings,
                "step_ms": f"{step:.1f}",
                "step_ms_low": f"{min(steps):.1f}",
                "step_ms_high": f"{max(steps):.1f}",
                "images_per_s": f"{1000 * images / step:.1f}",
                "times_as_fast": f"{first / step:.3f}",
                "peak_memory_mb": f"{statistics.median(peaks):.0f}",
            }
        )
    write_csv(args.output / f"training_steps-{args.name or Path(args.recipe).stem}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(train_and_print(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
