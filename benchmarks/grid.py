"""Train a grid of models, data sets, seeds and settings: what is missing, several at once, a row a run.

    python benchmarks/grid.py benchmarks/grids/starts.yaml --plan        # list the runs and what each lacks
    python benchmarks/grid.py benchmarks/grids/starts.yaml --jobs 2      # one core each on two cores
    python benchmarks/grid.py benchmarks/grids/starts.yaml --ray auto    # on a Ray cluster; folders must be shared

A grid is a YAML file:

    recipe: own                          # a name or a file; a place on an axis may have another, as `split`
    settings: [train.iterations=300, train.seed=$seed]     # for all runs; $AXIS is the value on that axis
    split: test                          # on which the last model of each run is scored
    axes:                                # every combination is a run
      data:
        belt: [data.root=belt]
        bags: {settings: [data.root=bags], split: val}
      seed: {0: [], 1: []}
    leave_out:                           # combinations without a run
      - {data: bags, seed: 1}
    import: [../small_peers.py]          # Python files that register models, from the folder of the grid

Each run is a folder of `fanet train` below `--runs` (by default `runs/<grid>`). An interrupted or killed run continues
from its last checkpoint the next time; a finished one is not repeated. If the grid has changed what a run does, it is
refused. Where the folders are gone, on another machine for instance, `--from-table` counts runs as finished whose rows
are in the table that it would write, with the same settings.

Writes `benchmarks/results/grid-<grid>.csv` after every run, with the columns

<axis> …              where the run is in the grid
split, images         on what it was scored
miou, miou_low, miou_high, pixel_accuracy   %, with the 95 % interval over images
iou                   by class, %
iterations, seconds   of the training
params_m              millions of parameters
digest                of the recipe with all its settings
fanet, torch, timm, hardware
"""

import argparse
import csv
import fcntl
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from string import Template
from typing import Any

import yaml
from measuring import RESULTS, hardware, write_csv

from fanet.cli.arguments import import_files
from fanet.errors import UserError, one_line
from fanet.files import atomic_path, make_folder
from fanet.recipes import flatten, load_recipe
from fanet.segmentation.data import open_dataset
from fanet.segmentation.evaluation.evaluate import METRICS_NAME, evaluate_split
from fanet.segmentation.network.saving import FINAL
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.training.run_folder import FREE_KEYS
from fanet.segmentation.training.settings import OPTIONAL_KEYS, Settings
from fanet.threads import available_cores

ROW, LOCK, SCORES = "row.json", "lock", "scores"
#: The columns that every table has beside its axes.
SCORED = {"split", "images", "miou", "miou_low", "miou_high", "pixel_accuracy", "iou", "iterations", "seconds"}
SCORED |= {"params_m", "digest", "fanet", "torch", "timm", "hardware"}


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        place: Where it is on the axes.
        recipe: A name or a file.
        settings: `KEY=VALUE`.
        split: On which it is scored.
        folder: Of the run.
        imports: Python files to import first.
    """

    place: Mapping[str, str]
    recipe: str
    settings: tuple[str, ...]
    split: str
    folder: Path
    imports: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "-".join(self.place.values())

    def digest(self) -> str:
        """Return what identifies the run: its whole recipe, without what only says how data is read.

        Raises:
            UserError: The recipe is unsuitable.
        """
        recipe = load_recipe(self.recipe, self.settings, OPTIONAL_KEYS)
        Settings.from_recipe(recipe)
        stated = {key: value for key, value in flatten(recipe) if key not in FREE_KEYS or key == "train.iterations"}
        return blake2b(repr(sorted(stated.items())).encode(), digest_size=8).hexdigest()


def read_grid(path: Path, runs: Path) -> list[Cell]:
    """Return the runs of a grid.

    Raises:
        UserError: The file is not a grid.
    """
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(grid, dict) or not {"recipe", "axes"} <= grid.keys():
        raise UserError(f"{path} is not a grid: it needs the keys recipe and axes")
    axes, cells = grid["axes"], []
    if taken := SCORED & axes.keys():
        raise UserError(f"{path}: the table has a column {min(taken)} already; give the axis another name")
    imports = tuple(str((path.parent / file).resolve()) for file in grid.get("import", ()))
    for choice in itertools.product(*(axis.items() for axis in axes.values())):
        place = {axis: str(value) for axis, (value, _) in zip(axes, choice, strict=True)}
        if any(all(place[axis] == str(value) for axis, value in out.items()) for out in grid.get("leave_out", ())):
            continue
        parts = [{"settings": part} if isinstance(part, list) else part for _, part in choice]
        settings = [*grid.get("settings", ()), *itertools.chain(*(part.get("settings", ()) for part in parts))]
        settings = [Template(setting).safe_substitute(place) for setting in settings]
        recipe, split = (
            next((part[key] for part in parts if key in part), default)
            for key, default in (("recipe", grid["recipe"]), ("split", grid.get("split", "test")))
        )
        cells.append(Cell(place, recipe, tuple(settings), split, runs / "-".join(place.values()), imports))
    return cells


def choose(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """Return the runs at the places `AXIS=VALUE`: at any of the values given for an axis, and so on all axes given.

    Raises:
        UserError: There is no run at a place.
    """
    wanted: dict[str, set[str]] = {}
    for choice in only:
        axis, _, value = choice.partition("=")
        wanted.setdefault(axis, set()).add(value)
        if not any(cell.place.get(axis) == value for cell in cells):
            raise UserError(f"--only {choice}: no run of the grid is there; --plan lists them")
    chosen = [cell for cell in cells if all(cell.place[axis] in values for axis, values in wanted.items())]
    if not chosen:
        raise UserError(f"--only {' '.join(only)}: no run of the grid is at all of these places; --plan lists them")
    return chosen


def recorded(cells: Sequence[Cell], path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a table, by the names of the runs, whose settings are those of the grid."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    places = {tuple(cell.place.items()): cell for cell in cells}
    found = {}
    for row in rows:
        cell = places.get(tuple((axis, row.get(axis)) for axis in cells[0].place))
        if cell is not None and row.get("digest") == cell.digest():
            found[cell.name] = row
    return found


def state(cell: Cell, known: Mapping[str, Any]) -> str:
    """Return how far a run is; it is finished, too, if there is a row of it in `known`.

    Raises:
        UserError: Its folder holds a run with other settings.
    """
    row = cell.folder / ROW
    if row.exists():
        if json.loads(row.read_text())["digest"] != cell.digest():
            raise UserError(f"{cell.folder} was trained with other settings: delete it, or name other --runs")
        return "finished"
    if cell.name in known:
        return "finished"
    return "started" if (cell.folder / "last.pt").exists() else "missing"


def execute(cell: Cell, threads: int) -> str:
    """Train and score a run, from wherever it is, and write its row; return a line about it."""
    make_folder(cell.folder.parent)
    with (cell.folder.parent / f"{cell.folder.name}.{LOCK}").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return f"{cell.name}: another process trains it"
        if state(cell, {}) == "finished":
            return f"{cell.name}: finished"
        imports = [word for file in cell.imports for word in ("--import", file)]
        train = ["-m", "fanet", "train", *imports, cell.recipe, *cell.settings, "--resume", "-o", str(cell.folder)]
        held = (lock.fileno(),)  # if this process is killed, the training goes on, and keeps the run to itself
        _python(cell, threads, *train, held=held)
        _python(cell, threads, __file__, json.dumps(asdict(cell), default=str), "--score", held=held)
        row = _row(cell, json.loads((cell.folder / SCORES / METRICS_NAME).read_text()))
        with atomic_path(cell.folder / ROW) as path:
            path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        return f"{cell.name}: mIoU {row['miou']:.1f} ({row['miou_low']:.1f} to {row['miou_high']:.1f}) %"


def _python(cell: Cell, threads: int, *arguments: str, held: Sequence[int] = ()) -> None:
    """Run Python, which keeps the files `held` open; its output goes to a file beside the run.

    Raises:
        UserError: It failed; the message is its last line.
    """
    log = cell.folder.parent / f"{cell.folder.name}.log"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with log.open("ab") as file:
        command = [sys.executable, *arguments]
        ended = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, pass_fds=held)
    if ended.returncode:
        last = log.read_text(errors="replace").replace("\r", "\n").strip().splitlines()[-1:]
        raise UserError(f"{cell.name}: {one_line(' '.join(last) or f'status {ended.returncode}', 300)} (see {log})")


def score(cell: Cell) -> None:
    """Evaluate the last model of a run on the run's split, read as the recipe reads the one for validation."""
    import_files(cell.imports)
    data = load_recipe(cell.recipe, cell.settings, OPTIONAL_KEYS)["data"]
    dataset = open_dataset(data["dataset"], data["root"], cell.split, **data["val_kwargs"])
    evaluate_split(load_predictor(cell.folder / FINAL), dataset, cell.folder / SCORES)


def _row(cell: Cell, scores: Mapping[str, Any]) -> dict[str, Any]:
    import safetensors

    import fanet

    history = (cell.folder / "log.csv").read_text().splitlines()
    last = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    with safetensors.safe_open(cell.folder / "final" / "model.safetensors", "pt") as file:
        params = sum(file.get_tensor(key).numel() for key in file.keys() if "running" not in key)  # noqa: SIM118
    import timm
    import torch

    return {
        **cell.place,
        "split": cell.split,
        "images": scores["images"],
        **{key: round(scores[key], 2) for key in ("miou", "miou_low", "miou_high", "pixel_accuracy")},
        "iou": "; ".join(f"{name} {'-' if iou is None else format(iou, '.1f')}" for name, iou in scores["iou"].items()),
        "iterations": int(last["iteration"]),
        "seconds": float(last["seconds"]),
        "params_m": round(params / 1e6, 2),
        "digest": cell.digest(),
        "fanet": fanet.__version__,
        "torch": torch.__version__,
        "timm": timm.__version__,
        "hardware": hardware("cpu"),
    }


def collect(cells: Sequence[Cell], path: Path, known: Mapping[str, dict[str, Any]]) -> None:
    """Write the rows of all finished runs: those of their folders, and the `known` ones of runs without."""
    found = {cell.name: json.loads((cell.folder / ROW).read_text()) for cell in cells if (cell.folder / ROW).exists()}
    rows = [row for cell in cells if (row := found.get(cell.name) or known.get(cell.name))]
    if rows:
        write_csv(path, list(dict.fromkeys(key for row in rows for key in row)), rows)


def in_threads(cells: Sequence[Cell], jobs: int, threads: int) -> Iterator[Future]:
    """Yield the runs as they end, `jobs` at once in processes of this machine."""
    with ThreadPoolExecutor(jobs) as executor:
        yield from as_completed([executor.submit(execute, cell, threads) for cell in cells])


def on_ray(cells: Sequence[Cell], address: str, threads: int) -> Iterator[Future]:
    """Yield the runs as they end, each on `threads` CPUs of a Ray cluster."""
    import ray

    ray.init(address=None if address == "local" else address, log_to_driver=False)
    here = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}, "working_dir": None}
    task = ray.remote(num_cpus=threads, max_retries=2, runtime_env=here)(execute)
    yield from as_completed([task.remote(cell, threads).future() for cell in cells])


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", metavar="GRID.yaml")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of the runs (default: runs/<grid>)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="cores for each (default: all cores / jobs)")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="run on a Ray cluster, `auto`, or on one of this machine, `local`"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="AXIS=VALUE",
        help="only these runs; several values of an axis: any of them",
    )
    parser.add_argument("--plan", action="store_true", help="list the runs and how far each is")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder of the table")
    parser.add_argument("--from-table", action="store_true", help="do not repeat runs that the table has, see above")
    parser.add_argument("--score", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.score:
        described = json.loads(args.grid)
        described["folder"] = Path(described["folder"])
        score(Cell(**described))
        return 0
    try:
        path = Path(args.grid)
        every = read_grid(path, (args.runs or Path("runs") / path.stem).resolve())
        cells = choose(every, args.only)
        table = args.output / f"grid-{path.stem}.csv"
        known = recorded(every, table) if args.from_table else {}
        states = {cell.name: state(cell, known) for cell in cells}
    except UserError as error:
        parser.error(str(error))
    if args.plan:
        print("\n".join(f"{how:<8}  {name}" for name, how in states.items()))
        return 0
    left = [cell for cell in cells if states[cell.name] != "finished"]
    threads = args.threads or max(1, available_cores() // args.jobs)
    run = partial(on_ray, left, args.ray) if args.ray else partial(in_threads, left, args.jobs)
    failed = 0
    for done, ended in enumerate(run(threads), 1):
        try:
            print(f"{done} of {len(left)}: {ended.result()}", flush=True)
        except UserError as error:
            failed += 1
            print(f"{done} of {len(left)}: {error}", file=sys.stderr, flush=True)
        collect(every, table, known)
    collect(every, table, known)
    print(f"{len(left) - failed} of {len(left)} runs ended well; {table}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
