"""Draw what the trainings of grid.py found: a dot for each run, so that the spread of the seeds is seen.

    python benchmarks/grid_figures.py             # all that have been run, into docs/figures/
    python benchmarks/grid_figures.py starts

starts                  mIoU by what training starts from, with ten and with all labelled images
semi_supervised         mIoU by what is learnt from images without labels
ablation                mIoU by row of the paper's Table 2
equal_budgets           mIoU of networks of one size over what they cost
clutterbench_networks   mIoU of these networks along each axis of ClutterBench
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clutterbench_networks import STEM, read_curves
from grid_tables import distinct
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from measuring import RESULTS, read_csv

from fanet.files import atomic_path
from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.plot import COLOURS

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
MARKERS = ("o", "s", "^", "D", "v")

Rows = list[dict[str, str]]
Words = Mapping[tuple[str, str], str]  # of (axis, place)

#: What a network costs, as columns of grid_costs.py, and in words.
COSTS = {
    "params_m": "parameters, millions",
    "gmacs": "GMACs an image",
    "latency_ms": "latency, ms",
    "step_ms": "training step, ms",
}


def draw_dots(
    rows: Rows, path: Path, panel: str | None, down: str, colour: str | None, words: Words | None = None
) -> None:
    """Draw the mIoU of every run as a dot, and a bar at the mean of the runs that differ in other axes.

    Args:
        rows: Of a file of grid.py.
        path: The PNG to write.
        panel: The axis whose places are side by side; None for one panel.
        down: The axis whose places are below each other.
        colour: The axis whose places have a colour and a mark of their own; None for one.
        words: What places are called; by default their names.
    """

    def called(axis: str, place: str) -> str:
        return (words or {}).get((axis, place), place.replace("_", " "))

    panels = distinct(row[panel] for row in rows) if panel else [""]
    places = distinct(row[down] for row in rows)
    groups = distinct(row[colour] for row in rows) if colour else [""]
    figure = _figure(3.4 * len(panels) + 1, 0.34 * len(places) * max(1, len(groups) ** 0.5) + 1.2)
    for axes, name in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        for index, group in enumerate(groups):
            offset = 0.3 * (index - (len(groups) - 1) / 2)
            for line, place in enumerate(places):
                here = [row for row in rows if row[down] == place]
                here = [
                    row for row in here if (not panel or row[panel] == name) and (not colour or row[colour] == group)
                ]
                scores = [float(row["miou"]) for row in here]
                at = [line + offset] * len(scores)
                axes.plot(scores, at, MARKERS[index], color=COLOURS[index], markersize=4.5, alpha=0.75, linewidth=0)
                if scores:
                    axes.plot(sum(scores) / len(scores), line + offset, "|", color=COLOURS[index], markersize=13)
        axes.set_title(called(panel or "", name), fontsize=11)
        axes.set_xlabel("mIoU, %", fontsize=9)
        axes.set_yticks(range(len(places)), [called(down, place) for place in places])
        _plain(axes)
    figure.axes[0].set_ylim(len(places) - 0.5, -0.5)
    if colour:
        handles = [
            figure.axes[0].plot([], [], MARKERS[index], color=COLOURS[index], label=called(colour, group))[0]
            for index, group in enumerate(groups)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(groups), frameon=False)
    _save(figure, path)


def draw_costs(rows: Rows, costs: Rows, path: Path, panel: str, axis: str) -> None:
    """Draw the mIoU of every place on an axis over what its network costs: the mean, and the span of its runs.

    Args:
        rows: Of a file of grid.py.
        costs: Of the file of grid_costs.py.
        path: The PNG to write.
        panel: The axis whose places are below each other.
        axis: Of the networks.
    """
    panels, places = distinct(row[panel] for row in rows), [row[axis] for row in costs]
    figure = _figure(2.6 * len(COSTS), 2.3 * len(panels) + 0.6)
    grid = figure.subplots(len(panels), len(COSTS), sharex="col", sharey="row", squeeze=False)
    for line, name in zip(grid, panels, strict=True):
        for axes, (cost, words) in zip(line, COSTS.items(), strict=True):
            for index, place in enumerate(places):
                here = [row for row in rows if row[panel] == name and row[axis] == place]
                if here:
                    scores = [float(row["miou"]) for row in here]
                    at, mean = float(costs[index][cost]), sum(scores) / len(scores)
                    axes.plot([at, at], [min(scores), max(scores)], color=COLOURS[index], linewidth=1.2)
                    axes.plot(at, mean, MARKERS[index], color=COLOURS[index], markersize=6)
            _plain(axes)
            if name == panels[-1]:
                axes.set_xlabel(words, fontsize=9)
        line[0].set_ylabel(f"{name}: mIoU, %", fontsize=9)
    handles = [
        grid[0, 0].plot([], [], MARKERS[index], color=COLOURS[index], label=place.replace("_", " "))[0]
        for index, place in enumerate(places)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(places), frameon=False)
    _save(figure, path)


def draw_clutterbench_networks(path: Path) -> None:
    """Draw the mean over seeds of every network along every axis of ClutterBench, and the span of its seeds."""
    curves = read_curves()
    figure = _figure(11.5, 5.4)
    panels = figure.subplots(2, 4, sharey=True).ravel()
    for axes, (name, of_networks) in zip(panels, curves.items(), strict=False):
        axis = AXES[name]
        at = [axis.shown(value) for value in axis.values]
        for index, (network, scores) in enumerate(of_networks.items()):
            axes.fill_between(at, scores.min(axis=0), scores.max(axis=0), color=COLOURS[index], alpha=0.18, linewidth=0)
            mean, label = scores.mean(axis=0), network.replace("_", " ")
            axes.plot(at, mean, MARKERS[index], linestyle="-", color=COLOURS[index], label=label, markersize=4)
        axes.set_title(axis.title, fontsize=11)
        axes.set_xlabel(axis.unit, fontsize=9)
        _plain(axes)
    for axes in panels[::4]:
        axes.set_ylabel("mIoU, %", fontsize=9)
    panels[-1].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    _save(figure, path)


def draw_starts(path: Path) -> None:
    """Draw grids/starts.yaml."""
    words = {
        ("data", "belt"): "construction waste on a belt",
        ("data", "bags"): "rubbish bags",
        ("labelled", "ten"): "ten labelled images",
        ("labelled", "all"): "all of them: 125 of the belt, 1,400 of bags",
        ("start", "scratch"): "random weights",
        ("start", "scenes"): "model of generated scenes",
        ("start", "tiny_imagenet"): "backbone of Tiny-ImageNet",
        ("start", "bags"): "model of rubbish bags",
    }
    draw_dots(read_csv("grid-starts"), path, "data", "start", "labelled", words)


def draw_semi_supervised(path: Path) -> None:
    """Draw grids/semi_supervised.yaml."""
    words = {
        ("objective", "supervised"): "50 labelled scenes alone",
        ("objective", "cct"): "and 400 without labels, by CCT",
        ("objective", "reco"): "and 400 without labels, by ReCo",
    }
    draw_dots(read_csv("grid-semi_supervised"), path, None, "objective", None, words)


def draw_ablation(path: Path) -> None:
    """Draw the rows of grids/ablation.yaml, without the trials of learning rates."""
    draw_dots([row for row in read_csv("grid-ablation") if row["part"] == "rows"], path, None, "row", None)


def draw_equal_budgets(path: Path) -> None:
    """Draw grids/equal_budgets.yaml, without the trials of learning rates."""
    rows = [row for row in read_csv("grid-equal_budgets") if not row["set"].endswith("_trial")]
    draw_costs(rows, read_csv("grid-equal_budgets-costs"), path, "set", "model")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.grid(color="#d8dade", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


#: How a figure is drawn, and what is measured last for it in benchmarks/results/: until then there is nothing to draw.
DRAWN: dict[str, tuple[Callable[[Path], None], str]] = {
    "starts": (draw_starts, "grid-starts"),
    "semi_supervised": (draw_semi_supervised, "grid-semi_supervised"),
    "ablation": (draw_ablation, "grid-ablation-costs"),
    "equal_budgets": (draw_equal_budgets, "grid-equal_budgets-costs"),
    "clutterbench_networks": (draw_clutterbench_networks, STEM),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw figures and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(DRAWN)} (default: all that were run)")
    parser.add_argument("-o", "--output", type=Path, default=FIGURES, metavar="DIR", help="folder of the figures")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in DRAWN]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}, only {', '.join(DRAWN)}")
    measured = [name for name, (_, last) in DRAWN.items() if (RESULTS / f"{last}.csv").exists()]
    for name in args.names or measured:
        draw, _ = DRAWN[name]
        draw(args.output / f"{name}.png")
        print(args.output / f"{name}.png", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
