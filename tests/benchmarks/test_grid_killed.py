"""The runner of grids, killed at random moments: it goes on, and the table is that of one that was not."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ..segmentation.training.tiny_run import TINY

pytest.importorskip("fcntl", reason="grid.py locks its runs by `fcntl`, which Windows lacks")
import grid  # noqa: E402

pytestmark = pytest.mark.slow

GRID = {
    "recipe": "clutter",
    "settings": [*TINY, "train.seed=$seed", "train.iterations=150", "evaluation.every=10", "train.amp=none"],
    "split": "test",
    "axes": {"seed": {0: [], 1: []}},
}


def start(file: Path, folder: Path) -> subprocess.Popen:
    words = [str(file), "--runs", str(folder / "runs"), "--output", str(folder), "--jobs", "2", "--threads", "1"]
    return subprocess.Popen([sys.executable, grid.__file__, *words], start_new_session=True, stdout=subprocess.DEVNULL)


def table(folder: Path) -> list[dict[str, str]]:
    """The rows, without what differs between equal runs."""
    path = folder / "grid-small.csv"
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def steps(folder: Path) -> list[int]:
    """When the checkpoints of the runs were written."""
    return [path.stat().st_mtime_ns for path in folder.glob("runs/*/last.pt")]


def test_five_kills_change_nothing_but_the_times(tmp_path: Path) -> None:
    file, moments = tmp_path / "small.yaml", random.Random(0)
    file.write_text(yaml.safe_dump(GRID, sort_keys=False))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(file, whole).wait() == 0
    for number in range(5):
        before, runner = steps(killed), start(file, killed)
        while steps(killed) == before:
            assert runner.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        if number % 2:
            runner.kill()  # its trainings go on; they are left to themselves
        else:
            os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    deadline = time.monotonic() + 300
    while not (killed / "grid-small.csv").exists() or len(table(killed)) < 2:
        assert time.monotonic() < deadline
        assert start(file, killed).wait() == 0
    assert table(killed) == table(whole)
