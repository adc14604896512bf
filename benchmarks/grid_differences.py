"""How far the places on an axis of a grid are apart: paired differences of mIoU, with intervals and verdicts.

    python benchmarks/grid_differences.py benchmarks/grids/equal_budgets.yaml model fanet --by set
    python benchmarks/grid_differences.py benchmarks/grids/ablation.yaml row fanet --only part=rows
    python benchmarks/grid_differences.py benchmarks/grids/starts.yaml start scratch --by data labelled

Compares the runs at every place with those at a reference, as `fanet compare` does: a paired bootstrap over the images
on which both were scored, and over the runs that differ in other axes, such as seeds. Needs the folders of the runs.

Writes `benchmarks/results/grid-<grid>-differences.csv` with the columns

<by>, <axis>, reference     what is compared
runs, images                of each side
miou, reference_miou        %, means over the runs
difference, low, high       of the place from the reference, with its 95 % interval
verdict                     better or worse; open, if the interval has 0 in it
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grid import SCORES, Cell, choose, read_grid
from grid_tables import distinct
from measuring import RESULTS, write_csv

from fanet.errors import UserError
from fanet.segmentation.evaluation.comparison import compare
from fanet.segmentation.evaluation.per_image import PER_IMAGE_NAME
from fanet.segmentation.evaluation.sides import Side, side_of


def side(name: str, cells: Sequence[Cell]) -> Side | None:
    """Return the evaluations of the runs that have ended; None if there are none."""
    folders = [cell.folder / SCORES for cell in cells if (cell.folder / SCORES / PER_IMAGE_NAME).is_file()]
    return side_of(name, folders) if folders else None


def differences(cells: Sequence[Cell], axis: str, reference: str, by: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return a row for every place on an axis but the reference.

    Raises:
        UserError: Runs were scored on different images.
    """
    rows = []
    for part in distinct(tuple(cell.place[other] for other in by) for cell in cells):
        here = [cell for cell in cells if tuple(cell.place[other] for other in by) == part]
        sides = {
            place: side(place, [cell for cell in here if cell.place[axis] == place])
            for place in distinct(cell.place[axis] for cell in here)
        }
        against = sides.pop(reference, None)
        for place, found in sides.items():
            if found and against:
                rows.append(dict(zip(by, part, strict=True)) | {axis: place} | row(found, against))
    return rows


def row(found: Side, against: Side) -> dict[str, Any]:
    """Return the columns of a comparison."""
    result = compare(found, against)
    (score, other), value = result.scores[:, -1], float(result.difference[-1])
    low, high = map(float, result.ends[:, -1])
    return {
        "reference": against.name,
        "runs": f"{len(found.runs)} and {len(against.runs)}",
        "images": result.images,
        "miou": round(float(score), 3),
        "reference_miou": round(float(other), 3),
        "difference": round(value, 3),
        "low": round(low, 3),
        "high": round(high, 3),
        "verdict": "open" if not (low > 0 or high < 0) else "better" if value > 0 else "worse",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", type=Path, metavar="GRID.yaml")
    parser.add_argument("axis", metavar="AXIS", help="whose places are compared")
    parser.add_argument("reference", metavar="PLACE", help="on that axis, with which the others are compared")
    parser.add_argument(
        "--by", nargs="+", default=[], metavar="AXIS", help="other axes: a comparison at each of their places"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="AXIS=VALUE", help="as for grid.py")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of the runs (default: runs/<grid>)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder of the table")
    args = parser.parse_args(argv)
    try:
        every = read_grid(args.grid, args.runs or Path("runs") / args.grid.stem)
        for axis in (args.axis, *args.by):
            if axis not in every[0].place:
                raise UserError(f"{args.grid} has no axis {axis!r}, only {', '.join(every[0].place)}")
        choose(every, [f"{args.axis}={args.reference}"])
        rows = differences(choose(every, args.only), args.axis, args.reference, args.by)
    except UserError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"no two places of {args.axis} have runs that ended: train them with grid.py")
    write_csv(args.output / f"grid-{args.grid.stem}-differences.csv", list(rows[0]), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
