"""Measure how fast training samples are loaded, and so how fast a network can be before it waits for them.

    python benchmarks/data_loading.py zerowaste                   # 1920x1080 frames as ZeroWaste-f stores them
    python benchmarks/data_loading.py zerowaste --workers 1 2 4 8 --samples 400

Writes generated frames in the layout of ZeroWaste-f and reads them through the recipe's own transforms, without
workers (reading and transforming are then timed separately) and with worker processes. The table
results/data_loading-<recipe>-*.csv holds, for each number of workers, samples per second and

    step_ms     the shortest optimizer step with which the loader keeps up, at the recipe's batch size
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.recipes import load_recipe
from fanet.segmentation.data import open_dataset
from fanet.segmentation.data.clutter import write_clutter
from fanet.segmentation.data.stream import MicroBatches, TrainSamples, train_batches
from fanet.segmentation.data.transforms import TrainTransform, sample_rng
from fanet.segmentation.training.settings import Settings

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("workers", "samples_per_s", "read_ms", "transform_ms", "step_ms", "batch_size", "samples", "torch")
FRAMES = 8  # drawing one takes longer than reading it, so a few are read repeatedly


def rate(samples: TrainSamples, count: int, batch_size: int, workers: int) -> float:
    """Measure samples per second through the loader, from the second batch of every worker on."""
    start = 2 * max(1, workers)
    batches = MicroBatches(0, start + -(-count // batch_size), batch_size, 1)
    begun = time.perf_counter()
    for number, _ in enumerate(train_batches(samples, batches, workers, pin_memory=False), 1):
        if number == start:
            begun = time.perf_counter()
    return (len(batches) - start) * batch_size / (time.perf_counter() - begun)


def parts(samples: TrainSamples, count: int) -> tuple[float, float]:
    """Measure the mean milliseconds of reading and of transforming a sample."""
    read = transform = 0.0
    for number in range(count):
        begun = time.perf_counter()
        sample = samples.dataset[number % FRAMES]
        loaded = time.perf_counter()
        samples.transform(sample, sample_rng(0, number))
        read += loaded - begun
        transform += time.perf_counter() - loaded
    return 1e3 * read / count, 1e3 * transform / count


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Measure a row for each number of workers."""
    torch.set_num_threads(1)  # as in a worker
    settings = Settings.from_recipe(load_recipe(args.recipe))
    batch_size = settings.train.batch_size
    augmentation = asdict(settings.augmentation)
    pairs = {key: tuple(augmentation[key]) if augmentation[key] else None for key in ("fit", "ratios", "crop")}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_clutter(folder, FRAMES, seed=0, size=args.img_size, split="train")
        dataset = open_dataset("zerowaste", folder, "train")
        samples = TrainSamples(dataset, TrainTransform(**(augmentation | pairs)), seed=0)
        read, transform = parts(samples, min(args.samples, 10 * FRAMES))
        for workers in (0, *args.workers):
            per_second = rate(samples, args.samples, batch_size, workers)
            rows.append(
                {
                    "workers": str(workers),
                    "samples_per_s": f"{per_second:.1f}",
                    "read_ms": f"{read:.1f}",
                    "transform_ms": f"{transform:.1f}",
                    "step_ms": f"{1e3 * batch_size / per_second:.0f}",
                    "batch_size": str(batch_size),
                    "samples": str(args.samples),
                    "torch": torch.__version__,
                }
            )
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a segmentation recipe, by name or file")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], metavar="N", help="(default: 1 2)")
    parser.add_argument("--samples", type=int, default=200, metavar="N", help="for each (default: %(default)s)")
    parser.add_argument("--img-size", type=int, nargs=2, default=(1080, 1920), metavar=("H", "W"))
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if min([args.samples, *args.workers]) < 1:
        parser.error("all numbers must be above 0")
    try:
        rows = measure(args)
        height, width = args.img_size
        path = make_folder(args.output) / f"data_loading-{Path(args.recipe).stem}-{width}x{height}.csv"
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except UserError as error:
        print(f"data_loading: error: {error}", file=sys.stderr)
        return 2
    print(f"one sample: {rows[0]['read_ms']} ms of reading, {rows[0]['transform_ms']} ms of transforming")
    for row in rows:
        print(f"{row['workers']} workers: {row['samples_per_s']} samples/s, a step of {row['step_ms']} ms or more")
    print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
