"""Draws the figures of docs/clutterbench.md: one scene along every axis, and the curves of the model in the package.

python docs/figures/clutterbench.py [FOLDER]

Scenes are drawn again; scores are those of the CSV file in benchmarks/results/.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fanet.scenes import scene
from fanet.segmentation.evaluation.clutterbench.axes import AXES, Axis
from fanet.segmentation.evaluation.clutterbench.plot import PLOT_NAME, plot_curves
from fanet.segmentation.evaluation.clutterbench.table import Table

SCORES = Path(__file__).parents[2] / "benchmarks" / "results" / "clutterbench-clutter-test100-256x256.csv"

SEED, INDEX = 0, 3  # a scene with objects of every class on a plain belt
SCENE, SIDE, GAP, HEAD = 256, 136, 4, 18  # pixels: of the drawing, in the figure, between scenes, of a caption
SHOWN = 5  # values of an axis, of those that have more the lowest and the highest ones
COLOURS = 256  # of the palette, which keeps the file small


def strip(axis: Axis) -> Image.Image:
    """Draw the scene at the values of an axis, side by side, with a caption."""
    values = [axis.values[place] for place in np.linspace(0, len(axis.values) - 1, SHOWN).round().astype(int)]
    row = Image.new("RGB", (SHOWN * (SIDE + GAP) - GAP, HEAD + SIDE), "white")
    caption = f"{axis.title}: {', '.join(f'{axis.shown(value):g}' for value in values)} ({axis.unit})"
    ImageDraw.Draw(row).text((0, 1), caption, fill="#222831", font=ImageFont.load_default(12))
    for place, value in enumerate(values):
        image, _ = scene(SEED, INDEX, SCENE, causes={axis.name: value})
        small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        row.paste(small, (place * (SIDE + GAP), HEAD))
    return row


def draw_axes(path: Path) -> None:
    """Draw the scene along all axes."""
    strips = [strip(axis) for axis in AXES.values()]
    figure = Image.new("RGB", (strips[0].width, len(strips) * (strips[0].height + 2 * GAP)), "white")
    for place, row in enumerate(strips):
        figure.paste(row, (0, place * (row.height + 2 * GAP)))
    small = figure.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main(argv: Sequence[str]) -> None:
    """Draw the figures and write them."""
    folder = Path(argv[0]) if argv else Path(__file__).parent
    draw_axes(folder / "clutterbench_axes.png")
    plot_curves(Table(SCORES), folder / PLOT_NAME)


if __name__ == "__main__":
    main(sys.argv[1:])
