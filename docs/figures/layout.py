"""Draws docs/figures/layout.svg: the packages of the package and the direction of its imports, from pyproject.toml.

python docs/figures/layout.py [OUT]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import tomllib
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[2]
WIDTH, ROW, GAP, MARGIN = 9.0, 0.46, 0.14, 0.3  # inches
INK, QUIET = "#222831", "#6b7280"
FILL, EDGE, INNER = "#eaf1fb", "#2f5d9e", "#ffffff"
Layers = list[list[str]]


def contracts() -> dict[str, Layers]:
    """The layers of every container of the contracts, from the top, as lists of packages side by side."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {
        container: [[package.strip() for package in layer.split("|")] for layer in contract["layers"]]
        for contract in settings["contracts"]
        if contract["type"] == "layers"
        for container in contract["containers"]
    }


def height(container: str, layers: dict[str, Layers]) -> float:
    """How high the packages of a container are, those inside them included."""
    return sum(row_height(container, row, layers) + GAP for row in layers[container]) - GAP


def row_height(container: str, row: Sequence[str], layers: dict[str, Layers]) -> float:
    """How high a layer is: that of its highest package."""
    inner = [height(f"{container}.{package}", layers) for package in row if f"{container}.{package}" in layers]
    return max([ROW, *(ROW + value + GAP for value in inner)])


def draw(axes: Axes, container: str, layers: dict[str, Layers], left: float, top: float, width: float) -> None:
    """Draw the packages of a container, and in them their own, from `top` downwards."""
    for row in layers[container]:
        high, wide = row_height(container, row, layers), (width - GAP * (len(row) - 1)) / len(row)
        for place, package in enumerate(row):
            x, inside = left + place * (wide + GAP), f"{container}.{package}" in layers
            nested = container.count(".") > 0
            axes.add_patch(
                FancyBboxPatch(
                    (x, top - high), wide, high, boxstyle="round,pad=0,rounding_size=0.07",
                    facecolor=INNER if nested else FILL, edgecolor=EDGE, linewidth=1.1,
                )
            )  # fmt: skip
            y = top - ROW / 2 if inside else top - high / 2
            axes.text(x + wide / 2, y, package, fontsize=10, color=INK, ha="center", va="center", family="monospace")
            if inside:
                draw(axes, f"{container}.{package}", layers, x + GAP, top - ROW, wide - 2 * GAP)
        top -= high + GAP


def main(argv: Sequence[str]) -> None:
    """Draw the figure and write it."""
    matplotlib.rcParams.update({"svg.hashsalt": "fanet", "svg.fonttype": "path"})
    layers = contracts()
    tall = height("fanet", layers) + 2 * MARGIN
    figure = plt.figure(figsize=(WIDTH, tall))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(0, tall))
    axes.axis("off")
    draw(axes, "fanet", layers, 1.0, tall - MARGIN, WIDTH - 1.0 - MARGIN)
    axes.add_patch(
        FancyArrowPatch(
            (0.7, tall - MARGIN), (0.7, MARGIN), arrowstyle="-|>", mutation_scale=16, color=QUIET, linewidth=1.6
        )
    )
    axes.text(0.38, tall / 2, "imports", rotation=90, fontsize=11, color=QUIET, ha="center", va="center")
    target = argv[0] if argv else Path(__file__).with_name("layout.svg")
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
