"""Draws docs/figures/architecture.svg: the backbone, and one block opened up.

python docs/figures/architecture.py [OUT]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

WIDTH, HEIGHT = 15.0, 10.3
INK, QUIET = "#222831", "#6b7280"
# background and frame of a part, in the overview and where it is opened up
COLOURS = {
    "plain": ("#ffffff", "#4b5563"),
    "conv": ("#eef1f5", "#4b5563"),
    "block": ("#eaf1fb", "#2f5d9e"),
    "afe": ("#f3edfa", "#6b3fa0"),
    "ce": ("#e8f5ec", "#2f7d4f"),
    "scm": ("#fdf0e1", "#b8650e"),
    "frm": ("#fbe9ec", "#b03049"),
    "mlp": ("#e6f4f6", "#17707c"),
}
Point = tuple[float, float]


class Drawing:
    """Boxes, arrows and operators on one set of axes, in units of an inch."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def panel(self, x: float, y: float, width: float, height: float, colour: str, title: str, note: str = "") -> None:
        """A part opened up: a frame with a title at its upper left, and its lower left corner at (x, y)."""
        fill, edge = COLOURS[colour]
        self._frame(x, y, width, height, fill, edge, 1.4)
        self.axes.text(x + 0.15, y + height - 0.25, title, fontsize=11, weight="bold", color=edge, va="center")
        if note:
            at = x + width - 0.15
            self.axes.text(at, y + height - 0.25, note, fontsize=8.5, color=QUIET, va="center", ha="right")

    def box(self, x: float, y: float, width: float, height: float, text: str, colour: str = "plain") -> None:
        """A layer or a part, centred at (x, y)."""
        fill, edge = COLOURS[colour]
        fill = fill if colour != "plain" else "#ffffff"
        self._frame(x - width / 2, y - height / 2, width, height, fill, edge, 1.2)
        bold = colour not in ("plain", "conv")
        weight = "bold" if bold and "\n" not in text else "normal"
        self.axes.text(x, y, text, fontsize=8.5, color=INK, ha="center", va="center", weight=weight, linespacing=1.25)

    def line(self, *points: Point, arrow: bool = True) -> None:
        """Straight pieces through all points, with an arrow head at the last."""
        xs, ys = zip(*points, strict=True)
        end = -1 if arrow else None
        self.axes.plot(xs[:end] if arrow else xs, ys[:end] if arrow else ys, color=INK, lw=1.1, solid_capstyle="round")
        if arrow:
            style = {"arrowstyle": "-|>,head_width=0.16,head_length=0.32", "color": INK, "lw": 1.1}
            self.axes.annotate("", points[-1], points[-2], arrowprops={**style, "shrinkA": 0, "shrinkB": 0})

    def sign(self, x: float, y: float, text: str) -> None:
        """A sum, product or difference of two maps."""
        self.axes.add_patch(Circle((x, y), 0.15, facecolor="#ffffff", edgecolor=INK, lw=1.1, zorder=5))
        self.axes.text(x, y - 0.005, text, fontsize=11, color=INK, ha="center", va="center", zorder=6)

    def dot(self, x: float, y: float) -> None:
        """Where a map goes two ways."""
        self.axes.add_patch(Circle((x, y), 0.045, facecolor=INK, edgecolor=INK, zorder=5))

    def label(self, x: float, y: float, text: str, align: str = "center", size: float = 8.5) -> None:
        """A note beside an arrow."""
        self.axes.text(x, y, text, fontsize=size, color=INK, ha=align, va="center", linespacing=1.3)

    def chain(
        self,
        y: float,
        start: float | None,
        parts: Sequence[tuple[float, float, str, str]],
        end: float,
        arrow: bool = True,
    ) -> None:
        """Boxes in a row, (centre x, width, text, colour) each, with arrows from `start` through all to `end`.

        Without `start` nothing enters the first box from the left; without `arrow` the last piece has no head.
        """
        at = start
        for x, width, text, colour in parts:
            if at is not None:
                self.line((at, y), (x - width / 2, y))
            self.box(x, y, width, 0.62 if "\n" in text else 0.42, text, colour)
            at = x + width / 2
        if at is not None:
            self.line((at, y), (end, y), arrow=arrow)

    def _frame(self, x: float, y: float, width: float, height: float, fill: str, edge: str, lw: float) -> None:
        style = "round,pad=0,rounding_size=0.08"
        patch = FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor=fill, edgecolor=edge, lw=lw)
        self.axes.add_patch(patch)


def draw_backbone(d: Drawing) -> None:
    """Stem, four stages with their feature taps, head."""
    d.axes.text(0.0, 10.1, "FANet", fontsize=13, weight="bold", color=INK, va="center")
    d.axes.text(0.75, 10.09, "(fanet_base: 96, 192, 384, 768 channels)", fontsize=9, color=QUIET, va="center")
    y = 9.15
    d.label(0.32, y, "image\n3 × H × W")
    d.line((0.72, y), (0.92, y))
    d.box(1.42, y, 1.0, 0.8, "stem\nconv 5×5\nstride 4", "conv")
    x = 1.92
    for i, (depth, kernel, channels) in enumerate(((2, 5, 96), (2, 5, 192), (8, 3, 384), (2, 3, 768))):
        width = 2.2 if i == 0 else 2.85
        d.axes.add_patch(
            FancyBboxPatch((x + 0.18, y - 0.62), width - 0.36, 1.24, boxstyle="round,pad=0,rounding_size=0.08",
                           facecolor="#f8fafc", edgecolor=QUIET, lw=0.9, linestyle=(0, (3, 2)))
        )  # fmt: skip
        d.axes.text(x + 0.28, y + 0.74, f"stage {i + 1}", fontsize=8.5, color=QUIET, va="center")
        at = x
        if i > 0:
            d.line((at, y), (at + 0.3, y))
            d.box(at + 0.68, y, 0.76, 0.8, "conv 3×3\nstride 2", "conv")
            at += 1.06
        d.line((at, y), (x + width - 1.56, y))
        d.box(x + width - 0.91 - 0.02, y, 1.26, 0.9, f"{depth} × FANetBlock\nCE {kernel}×{kernel}", "block")
        tap = x + width
        d.line((x + width - 0.3, y), (tap, y), arrow=False)
        d.dot(tap, y)
        d.line((tap, y), (tap, y - 0.95))
        scale = 4 * 2**i
        d.label(tap, y - 1.12, f"S{i + 1}: {channels} × H/{scale} × W/{scale}")
        x = tap
    d.line((x, y), (x + 0.32, y))
    d.box(x + 0.92, y, 1.2, 0.95, "head\nmean over space\nLN → Linear", "conv")
    d.line((x + 1.52, y), (x + 1.74, y))
    d.label(x + 2.0, y, "logits")


def draw_block(d: Drawing) -> None:
    """FANetBlock: two residual halves."""
    d.panel(0, 5.25, 5.3, 2.3, "block", "FANetBlock", "C × H × W in and out")
    y = 6.2
    d.chain(y, 0.12, [(0.85, 0.5, "LN", "plain"), (1.65, 0.75, "AFE", "afe")], 2.4)
    d.chain(y, 2.7, [(3.2, 0.5, "LN", "plain"), (4.1, 0.95, "ConvMLP", "mlp")], 4.75)
    for start, end in ((0.42, 2.55), (2.8, 4.9)):
        d.dot(start, y)
        d.line((start, y), (start, y + 0.6), (end, y + 0.6), (end, y + 0.15))
        d.sign(end, y, "+")
    d.line((5.05, y), (5.28, y))
    d.label(2.65, 5.52, "stochastic depth on the result of AFE and of ConvMLP", size=8)


def draw_afe(d: Drawing) -> None:
    """AFE: CE, squeeze, SCM beside FRM, fuse."""
    d.panel(5.6, 5.25, 9.4, 2.3, "afe", "AFE: adaptive feature enhancement", "h = C/2")
    y = 6.2
    d.label(5.87, y + 0.2, "C")
    parts = [(6.55, 0.8, "CE", "ce"), (8.1, 1.5, "squeeze\nconv 1×1 → GELU → LN", "plain")]
    d.chain(y, 5.65, parts, 9.35, arrow=False)
    d.label(9.1, y + 0.2, "h")
    d.dot(9.35, y)
    for name, text, top in (("scm", "SCM", y + 0.45), ("frm", "FRM", y - 0.45)):
        d.line((9.35, y), (9.35, top), (9.85, top))
        d.box(10.35, top, 1.0, 0.5, text, name)
        d.line((10.85, top), (11.65, top), (11.65, y + (0.21 if top > y else -0.21)))
        d.label(11.25, top + 0.17, "h")
    d.chain(y, None, [(11.65, 0.8, "concat", "plain"), (13.45, 1.7, "fuse\nconv 1×1 → GELU", "plain")], 14.95)
    d.label(12.33, y + 0.2, "C")
    d.label(14.63, y + 0.2, "C")


def draw_small_parts(d: Drawing) -> None:
    """CE, SCM and ConvMLP."""
    d.panel(0, 3.4, 5.3, 1.55, "ce", "CE: convolutional embedding")
    y = 3.85
    d.dot(0.42, y)
    d.line((0.42, y), (0.42, y + 0.5), (4.7, y + 0.5), (4.7, y + 0.15))
    d.chain(y, 0.12, [(1.25, 1.1, "DW k×k", "plain"), (2.6, 0.8, "GELU", "plain"), (3.75, 0.6, "LN", "plain")], 4.55)
    d.sign(4.7, y, "+")
    d.line((4.85, y), (5.28, y))

    d.panel(0, 1.95, 5.3, 1.2, "scm", "SCM: spatial context module")
    y = 2.37
    d.chain(y, 0.12, [(1.55, 1.75, "conv 7×7, 4 groups", "plain"), (3.15, 0.8, "GELU", "plain"),
                      (4.3, 0.6, "LN", "plain")], 5.28)  # fmt: skip

    d.panel(0, 0.1, 5.3, 1.6, "mlp", "ConvMLP", "C → 4C → C")
    y = 0.6
    d.chain(y, 0.06, [(0.78, 1.08, "conv 1×1\nGELU", "plain")], 1.5, arrow=False)
    d.dot(1.5, y)
    d.line((1.5, y), (1.5, y + 0.55), (3.52, y + 0.55), (3.52, y + 0.15))
    d.chain(y, 1.5, [(2.4, 1.2, "DW 3×3\nGELU", "plain")], 3.37)
    d.sign(3.52, y, "+")
    d.chain(y, 3.67, [(4.4, 1.0, "conv 1×1", "plain")], 5.24)


def draw_frm(d: Drawing) -> None:
    """FRM: low and high frequencies."""
    d.panel(
        5.6, 0.1, 9.4, 4.85, "frm", "FRM: feature refinement module", "h × H × W, h channels on every arrow but one"
    )
    middle, low, high = 2.35, 3.6, 1.1
    d.line((5.65, middle), (6.25, middle), arrow=False)
    d.label(5.92, middle + 0.2, "F")
    d.dot(6.25, middle)
    parts = [(7.25, 1.3, "down\nDW 3×3, stride 2", "plain"), (8.95, 1.2, "bilinear\nback to H × W", "plain")]
    d.chain(middle, 6.25, parts, 9.95, arrow=False)
    d.label(8.13, middle + 0.2, "P")
    d.label(9.75, middle + 0.2, "Q")
    d.dot(9.95, middle)
    for y, sign, name in ((low, "×", "low"), (high, "−", "high")):
        side = 0.15 if y > middle else -0.15
        d.line((6.25, middle), (6.25, y), (9.8, y))
        d.line((9.95, middle), (9.95, y - side))
        d.sign(9.95, y, sign)
        d.chain(y, 10.1, [(10.85, 0.7, "GELU", "plain"), (11.85, 0.9, "DW 3×3", "plain"), (12.75, 0.5, "LN", "plain")],
                13.4, arrow=False)  # fmt: skip
        d.line((13.4, y), (13.4, middle + (0.21 if y > middle else -0.21)))
        d.axes.text(13.5, (y + middle) / 2, name, fontsize=8.5, color=QUIET, va="center")
    d.label(8.1, low + 0.2, "F · Q keeps what the map and its smoothed self agree on", size=8)
    d.label(8.1, high - 0.2, "F − Q keeps edges and texture", size=8)
    d.chain(middle, None, [(13.4, 0.75, "concat", "plain"), (14.42, 0.76, "conv 1×1\nGELU", "plain")], 14.97)
    d.label(13.91, middle + 0.2, "2h")


def main(out: Path) -> None:
    """Write the figure; the same bytes every time with one version of matplotlib."""
    matplotlib.rcParams.update({"svg.hashsalt": "fanet", "svg.fonttype": "path", "font.family": "DejaVu Sans"})
    figure = plt.figure(figsize=(WIDTH + 0.3, HEIGHT + 0.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.15, WIDTH + 0.15)
    axes.set_ylim(0, HEIGHT + 0.1)
    axes.axis("off")
    drawing = Drawing(axes)
    for draw in (draw_backbone, draw_block, draw_afe, draw_small_parts, draw_frm):
        draw(drawing)
    figure.savefig(out, facecolor="white", metadata={"Date": None} if out.suffix == ".svg" else None, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
