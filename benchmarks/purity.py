"""Measure how often the promise of `fanet calibrate` is kept, and what it costs, over 200 random draws.

    python benchmarks/purity.py clutter --count 1000
    python benchmarks/purity.py bags --data DIR

A model predicts labelled images once; counts by image are kept. Two ways to draw calibration images, 200 times each:

- `drawn`: as many as there are, with replacement; all images are the population whose purity the promise is about. That
  is the theory's case, and the truth is exact.
- `halves`: a random half; the purity on the other half decides. That is noisy: where the purity is just what was
  promised, half of the halves are below.

A promise is kept if every class has the purity, or is never called. `normal` in place of `betting` takes the losses'
mean for normally distributed, which is common, and what the betting is compared with. Writes
`benchmarks/results/purity-<model>-<count>.csv`: a row for each purity, method and way.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
from measuring import RESULTS, write_csv

from fanet.segmentation.data import open_dataset
from fanet.segmentation.evaluation.purity.counts import Counts, count_images
from fanet.segmentation.evaluation.purity.promise import find_thresholds
from fanet.segmentation.network.shipped import load_predictor

REPEATS = 200
CONFIDENCE = 0.95
#: Calibration counts -> the level of each class, None for never.
Method = Callable[[Counts, float], list[int | None]]


def betting(units: Counts, purity: float) -> list[int | None]:
    """Find thresholds as `fanet calibrate` does."""
    return [each.level for each in find_thresholds(units.called, units.right, units.shares, purity, CONFIDENCE)]


def normal(units: Counts, purity: float) -> list[int | None]:
    """Find thresholds as if the mean loss were normally distributed: from the strictest that passes, down."""
    loss = (units.called - units.right) - (1 - purity) * units.called
    quantile = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / loss.shape[1])
    passes = loss.mean(axis=0) < -quantile * loss.std(axis=0, ddof=1) / np.sqrt(len(loss))
    found: list[int | None] = []
    for row in passes:
        level = int(np.flatnonzero(row).max(initial=-1))
        while level > 0 and row[level - 1]:
            level -= 1
        found.append(None if level < 0 else level)
    return found


def part(units: Counts, chosen: np.ndarray) -> Counts:
    """Return the counts of some images."""
    return Counts(units.called[chosen], units.right[chosen], units.shares[chosen], ())


def judge(units: Counts, levels: Sequence[int | None], purity: float) -> tuple[bool, np.ndarray]:
    """Return whether every class has the purity on images, and the share of each that is still called, (K,)."""
    called, right = units.called.sum(axis=0, dtype=float), units.right.sum(axis=0, dtype=float)
    kept = np.array([0.0 if level is None else called[k, level] for k, level in enumerate(levels)])
    true = np.array([0.0 if level is None else right[k, level] for k, level in enumerate(levels)])
    return bool((true >= purity * kept).all()), kept / called[:, 0]


def repeat(units: Counts, purity: float, method: Method, way: str) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Return the share of kept promises, mean coverage and share of `never` by class, and the coverage of all."""
    rng = np.random.default_rng(0)
    count = len(units.called)
    weight = units.called[:, :, 0].sum(axis=0, dtype=float)
    kept, coverage, never = [], [], []
    for _ in range(REPEATS):
        order = rng.permutation(count)
        drawn = rng.integers(count, size=count) if way == "drawn" else order[: count // 2]
        others = np.arange(count) if way == "drawn" else order[count // 2 :]
        levels = method(part(units, drawn), purity)
        is_kept, of_class = judge(part(units, others), levels, purity)
        kept.append(is_kept)
        coverage.append(of_class)
        never.append([level is None for level in levels])
    by_class = np.mean(coverage, axis=0)
    return float(np.mean(kept)), by_class, np.mean(never, axis=0), float(by_class @ weight / weight.sum())


def counts_of(args: argparse.Namespace) -> tuple[Counts, Sequence[str]]:
    """Return the counts of all images, from a file if there is one, and the names of the classes."""
    if args.model == "clutter":
        dataset = open_dataset("clutter", None, "test", count=args.count)
    else:
        dataset = open_dataset("folder", args.data, "val")
    if args.counts is not None and args.counts.exists():
        with np.load(args.counts) as saved:
            return Counts(saved["called"], saved["right"], saved["shares"], ()), dataset.classes.names
    units = count_images(load_predictor(args.model, thresholds=False), dataset)
    if args.counts is not None:
        np.savez_compressed(args.counts, called=units.called, right=units.right, shares=units.shares)
    return units, dataset.classes.names


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Draw, judge, and print every row."""
    units, names = counts_of(args)
    rows = []
    for purity in args.purity:
        before = units.right[:, :, 0].sum(axis=0, dtype=float) / units.called[:, :, 0].sum(axis=0, dtype=float)
        for method in (betting, normal):
            for way in ("drawn", "halves"):
                kept, by_class, never, coverage = repeat(units, purity, method, way)
                count = len(units.called) // (1 if way == "drawn" else 2)
                rows.append(
                    {
                        "purity": f"{purity:g}",
                        "method": method.__name__,
                        "way": way,
                        "images": str(count),
                        "repeats": str(REPEATS),
                        "kept_percent": f"{100 * kept:.1f}",
                        "coverage_percent": f"{100 * coverage:.1f}",
                        "coverage_by_class_percent": _listed(names, by_class),
                        "never_by_class_percent": _listed(names, never),
                        "purity_before_percent": _listed(names, before),
                    }
                )
                print(rows[-1], flush=True)
    return rows


def _listed(names: Sequence[str], values: np.ndarray) -> str:
    return "; ".join(f"{name} {100 * value:.1f}" for name, value in zip(names, values, strict=True))


def main(argv: Sequence[str]) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("model", choices=("clutter", "bags"), help="model inside the package")
    parser.add_argument("--data", metavar="DIR", help="bags: the photographs, with a dataset.yaml that has a split val")
    parser.add_argument("--count", metavar="N", type=int, default=1000, help="clutter: scenes (default: %(default)s)")
    parser.add_argument(
        "--purity", metavar="P", type=float, nargs="+", default=[0.8, 0.9, 0.95], help="what to promise"
    )
    parser.add_argument(
        "--counts", metavar="FILE", type=Path, help="keep the counts in this .npz file, for the next time"
    )
    args = parser.parse_args(argv)
    if args.model == "bags" and args.data is None:
        parser.error("bags needs --data DIR")
    rows = measure(args)
    write_csv(RESULTS / f"purity-{args.model}-{rows[0]['images']}.csv", list(rows[0]), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
