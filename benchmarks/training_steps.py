"""Time the steps of `fanet train` with different settings, each run in a process of its own, a few steps at a time.

    python benchmarks/training_steps.py clutter --settings train.amp=none --settings train.amp=bf16
    python benchmarks/training_steps.py clutter --settings "" --checkout ../before

All runs are started, and take turns of some steps from then on: where a processor changes its clock, it changes for all
of them. None reads ahead, which would shorten its next turn: `data.workers=0`. With `--checkout`, the code in that
folder runs first, with the first settings. Writes
`benchmarks/results/training_steps-<name>.csv` with a row for each settings:

code, settings   `this` or `before`, and what differs from the recipe
step_ms          median over the turns of the median step, data included
step_ms_low, _high   the least and the largest of these medians
images_per_s     by the median
times_as_fast    than the first row: the median of the ratios in the same round
peak_memory_mb   of the process, libraries and the images in memory included
"""

import argparse
import contextlib
import json
import operator
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
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


def train_in_turns(argv: Sequence[str]) -> int:
    """Run `fanet train` in this process, with a turn for each line of standard input, after some steps to warm up.

    Prints a line at the start and one for each turn: the milliseconds of its steps and the peak memory, as JSON.
    """
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from fanet.cli import main as fanet

    out, steps = sys.stdout, int(argv[0])
    length, times, last = WARMUP, [], time.perf_counter()

    def after_step(*_: object) -> None:
        nonlocal length, last
        times.append(1000 * (time.perf_counter() - last))
        if len(times) == length:
            print(json.dumps([times, peak_mb("cpu")]), file=out, flush=True)
            if not sys.stdin.readline():
                sys.exit("nobody waits for these steps any more")
            times.clear()
            length = steps
        last = time.perf_counter()

    register_optimizer_step_post_hook(after_step)
    with contextlib.redirect_stdout(sys.stderr):
        return fanet(["train", *argv[1:]])


@contextlib.contextmanager
def training(code: Path, recipe: str, settings: str, steps: int, rounds: int) -> Iterator[subprocess.Popen]:
    """Start a training by the code in a folder, which is stopped at the end."""
    iterations = WARMUP + steps * rounds
    short = [f"{key}={iterations}" for key in ("train.iterations", "evaluation.every")]
    short += ["scheduler.warmup_iterations=1", "data.workers=0"]
    with tempfile.TemporaryDirectory() as folder:
        argv = [str(steps), recipe, *shlex.split(settings), *short, "-o", str(Path(folder, "run"))]
        environment = {**os.environ, "PYTHONPATH": str(code)}
        command = [sys.executable, __file__, "--child", *argv]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def turn(process: subprocess.Popen, is_first: bool = False) -> tuple[float, float] | None:
    """Let a training take a turn.

    Returns:
        Its median step in milliseconds and the peak memory in MB; None if it failed, with the reason on standard error.
    """
    try:
        if not is_first:
            process.stdin.write("\n")
            process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    if not line:
        return None
    times, peak = json.loads(line)
    return statistics.median(times), peak


def main(argv: Sequence[str]) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="as for fanet train")
    parser.add_argument("--settings", action="append", required=True, help='such as "train.amp=bf16"; may be repeated')
    parser.add_argument("--common", default="", metavar="SETTINGS", help="of all runs, such as a smaller data set")
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="other code of this project, to compare with")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="of a turn (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="turns of each (default: %(default)s)")
    parser.add_argument("--name", help="of the file (default: the recipe)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    this = Path(__file__).resolve().parents[1]
    runs = [("this", this, settings) for settings in args.settings]
    if args.checkout:
        runs.insert(0, ("before", args.checkout.resolve(), args.settings[0]))
    measured: list[list[tuple[float, float]]] = [[] for _ in runs]
    with contextlib.ExitStack() as stack:
        processes = []
        for _, code, settings in runs:
            common = f"{args.common} {settings}"
            processes.append(stack.enter_context(training(code, args.recipe, common, args.steps, args.rounds)))
            if turn(processes[-1], is_first=True) is None:
                return 2
        for _ in range(args.rounds):
            for found, process in zip(measured, processes, strict=True):
                result = turn(process)
                if result is None:
                    return 2
                found.append(result)
    images = load_recipe(args.recipe, shlex.split(args.common))["train"]["batch_size"]
    rows = []
    first = [step for step, _ in measured[0]]
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
                "times_as_fast": f"{statistics.median(map(operator.truediv, first, steps)):.3f}",
                "peak_memory_mb": f"{peaks[-1]:.0f}",
            }
        )
    write_csv(args.output / f"training_steps-{args.name or Path(args.recipe).stem}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(train_in_turns(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
