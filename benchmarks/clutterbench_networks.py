"""ClutterBench of the networks of grids/equal_budgets.yaml: a network is what its seeds have in common.

The file in benchmarks/results/ is the `scores.csv` of `fanet benchmark clutter` with the models of the runs on scenes;
docs/clutterbench.md has the command.
"""

import re
from pathlib import Path

import numpy as np
from grid_tables import distinct
from measuring import RESULTS

from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.table import Table

STEM = "clutterbench-equal_budgets-test100-256x256"
REFERENCE = "fanet"

#: mIoU in %, (seeds, values of the axis), by axis and network.
Curves = dict[str, dict[str, np.ndarray]]

_RUN = re.compile(r"scenes-(?P<network>\w+?)-(?:low|high)-\d+/")


def read_curves(path: Path = RESULTS / f"{STEM}.csv") -> Curves:
    """Read the scores of a benchmark of runs, and put those of a network together."""
    table = Table(path)
    found = {model: match["network"] for model in table.models if (match := _RUN.search(model))}
    return {
        axis: {
            network: np.array(
                [
                    [float(row["miou_percent"]) for row in table.curve(model, axis)]
                    for model in table.models
                    if found.get(model) == network
                ]
            )
            for network in distinct(found.values())
        }
        for axis in AXES
    }


def ends(curves: dict[str, np.ndarray]) -> tuple[int, int]:
    """Return the places on an axis at which the mean over networks is highest and lowest."""
    mean = np.mean([scores.mean(axis=0) for scores in curves.values()], axis=0)
    return int(mean.argmax()), int(mean.argmin())


def clutterbench_networks() -> list[list[str]]:
    """List by axis what each network loses from the easiest to the hardest value: mean over seeds, lowest to highest.

    A network is apart from FANet if what its seeds lose and what FANet's seeds lose do not overlap.
    """
    curves = read_curves()
    networks = list(next(iter(curves.values())))
    rows = [["axis", "easiest to hardest", *(name.replace("_", " ") for name in networks), "apart from fanet"]]
    for axis, of_networks in curves.items():
        easy, hard = ends(of_networks)
        shown = [f"{AXES[axis].shown(AXES[axis].values[place]):g}" for place in (easy, hard)]
        lost = {name: scores[:, easy] - scores[:, hard] for name, scores in of_networks.items()}
        low, high = lost[REFERENCE].min(), lost[REFERENCE].max()
        apart = [
            f"{name.replace('_', ' ')} ({'more' if values.min() > high else 'less'})"
            for name, values in lost.items()
            if values.min() > high or values.max() < low
        ]
        cells = [f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})" for values in lost.values()]
        rows.append([AXES[axis].title, " to ".join(shown), *cells, ", ".join(apart) or "none"])
    return rows
