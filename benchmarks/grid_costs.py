"""What the networks of a grid cost: parameters, multiply-accumulates, and the times of a forward pass and of a step.

    python benchmarks/grid_costs.py benchmarks/grids/equal_budgets.yaml model
    python benchmarks/grid_costs.py benchmarks/grids/camvid.yaml start --size 540 720 --threads 1

Builds the network of the first run at every place on an axis, as its recipe says, with random weights and without the
auxiliary head, which only training needs. All are in memory together and take turns, one image each per round. So do
their trainings, a step each per round: forward and backward pass, optimizer and moving average, as `fanet train` takes
it. The batch, of generated scenes, is in memory and the same for all.

Writes `benchmarks/results/grid-<grid>-costs.csv` with the columns

<axis>                the place
params_m              millions of parameters
gmacs                 billions of multiply-accumulates of one image
latency_ms            median over the rounds; _q1 and _q3 are the quartiles
ratio                 median over the rounds of its time over that of the first place in the same round
step_ms, step_ratio   the same of a training step
size, threads, rounds, allocator, hardware, torch, timm
"""

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from grid import Cell, read_grid
from grid_tables import distinct
from measuring import QUARTILES, RESULTS, allocator, hardware, time_in_turns, write_csv
from torch import nn

from fanet.backbone.complexity import count_macs, count_parameters
from fanet.classes import ClassScheme
from fanet.cli.arguments import import_files
from fanet.errors import UserError
from fanet.recipes import load_recipe
from fanet.segmentation.data import open_dataset
from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.build import build_network
from fanet.segmentation.training.run import Run
from fanet.segmentation.training.run_folder import RunFolder
from fanet.segmentation.training.settings import OPTIONAL_KEYS, Settings
from fanet.segmentation.training.train import take_step

CLASSES = 5
SCENES = 16
WARMUP = 3


def settings_of(cell: Cell) -> Settings:
    """Return the settings of a run, which here starts from no other model."""
    return Settings.from_recipe(load_recipe(cell.recipe, [*cell.settings, "model.init_from=null"], OPTIONAL_KEYS))


def network_of(cell: Cell) -> nn.Module:
    """Build the network of a run as inference runs it: (1, 3, H, W) -> (1, CLASSES, H, W)."""
    network = build_network(settings_of(cell), ClassScheme.numbered(CLASSES), torch.device("cpu"), 1)
    network.auxiliary_head = None
    return network.eval()


def forward_of(network: nn.Module, size: tuple[int, int]) -> Callable[[], object]:
    """Return what computes one image."""
    image = torch.randn(1, 3, *size).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode():
            network(image)

    return forward


def step_of(cell: Cell) -> Callable[[], object]:
    """Return what takes a training step."""
    scenes = open_dataset("clutter", None, "train", count=SCENES)
    run = Run.build(settings_of(cell), join_processes(), data=[scenes, scenes])
    batches = itertools.repeat(next(run.batches()))
    return lambda: take_step(run, batches, RunFolder(Path()))


def measure(works: Sequence[Callable[[], object]], rounds: int) -> np.ndarray:
    """Return the milliseconds that each piece of work takes, (rounds, works)."""

    def timed(work: Callable[[], object]) -> float:
        start = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - start)

    return time_in_turns([lambda work=work: timed(work) for work in works], rounds, WARMUP)


def main(argv: Sequence[str] | None = None) -> int:
    """Count, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, metavar="GRID.yaml")
    parser.add_argument("axis", metavar="AXIS", help="whose places differ in their networks")
    parser.add_argument(
        "--size", nargs=2, type=int, default=(256, 256), metavar=("H", "W"), help="of the image (default: 256 256)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=21, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder of the table")
    args = parser.parse_args(argv)
    try:
        cells = read_grid(args.grid, Path("runs"))
        if args.axis not in cells[0].place:
            raise UserError(f"{args.grid} has no axis {args.axis!r}, only {', '.join(cells[0].place)}")
        first = {cell.place[args.axis]: cell for cell in reversed(cells)}
        places = distinct(cell.place[args.axis] for cell in cells)
        import_files(cells[0].imports)
        torch.set_num_threads(args.threads)
        size = (args.size[0], args.size[1])
        networks = [network_of(first[place]) for place in places]
        steps = [step_of(first[place]) for place in places]
    except UserError as error:
        parser.error(str(error))
    times = measure([forward_of(network, size) for network in networks], args.rounds)
    step_times = measure(steps, args.rounds)
    rows = []
    for index, (place, network) in enumerate(zip(places, networks, strict=True)):
        quarter, median, three = np.quantile(times[:, index], QUARTILES)
        rows.append(
            {
                args.axis: place,
                "params_m": round(count_parameters(network) / 1e6, 3),
                "gmacs": round(count_macs(network, size) / 1e9, 3),
                "latency_ms": round(median, 2),
                "latency_ms_q1": round(quarter, 2),
                "latency_ms_q3": round(three, 2),
                "ratio": round(float(np.median(times[:, index] / times[:, 0])), 3),
                "step_ms": round(float(np.median(step_times[:, index])), 1),
                "step_ratio": round(float(np.median(step_times[:, index] / step_times[:, 0])), 3),
                "size": f"{size[0]}x{size[1]}",
                "threads": args.threads,
                "rounds": args.rounds,
                "allocator": allocator(),
                "hardware": hardware("cpu"),
                "torch": torch.__version__,
                "timm": timm.__version__,
            }
        )
    write_csv(args.output / f"grid-{args.grid.stem}-costs.csv", list(rows[0]), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
