"""A curve for each model along an axis, as SVG within the page."""

from fanet.segmentation.evaluation.clutterbench.axes import Axis
from fanet.segmentation.evaluation.clutterbench.models import short_names
from fanet.segmentation.evaluation.clutterbench.plot import COLOURS, points_of
from fanet.segmentation.evaluation.clutterbench.table import Table
from fanet.segmentation.evaluation.report.page import Html, joined, markup

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 12, 24, 40  # room for the labels of the axes
_GRID = 5  # most lines across


def legend_of(models: list[str]) -> Html:
    """Return the names of models after a box in the colour of their curves."""
    entries = [
        f'<span><span class="swatch" style="background:{_colour(index)}"></span>{markup(name)}</span> '
        for index, name in enumerate(short_names(models))
    ]
    return Html(f'<p class="legend">{"".join(entries)}</p>')


def axis_curves(axis: Axis, table: Table, low: float, high: float) -> Html:
    """Return the mIoU of all models along an axis, each a line in a band, its interval.

    Args:
        axis: The axis.
        table: The scores.
        low: mIoU, %, at the bottom.
        high: mIoU, %, at the top.
    """
    names = short_names(table.models)
    ends = axis.shown(axis.values[0]), axis.shown(axis.values[-1])

    def place(at: float, miou: float) -> str:
        x = _LEFT + (at - ends[0]) / (ends[1] - ends[0]) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (miou - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    parts: list[str] = [_frame(axis, low, high)]
    said = []
    for index, (model, name) in enumerate(zip(table.models, names, strict=True)):
        found = points_of(axis, table.curve(model, axis.name), "miou_percent", "miou_low_percent", "miou_high_percent")
        points = list(zip(*found, strict=True))
        if not points:
            continue
        upper = [place(at, top) for at, _, _, top in points if top >= 0]
        lower = [place(at, bottom) for at, _, bottom, _ in points if bottom >= 0]
        middle = [place(at, miou) for at, miou, _, _ in points]
        colour = _colour(index)
        parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" style="fill:{colour};opacity:.18"/>')
        parts.append(f'<polyline points="{" ".join(middle)}" style="fill:none;stroke:{colour};stroke-width:2"/>')
        for point in middle:
            x, y = point.split(",")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" style="fill:{colour}"/>')
        said.append(f"{name} from {points[0][1]:.1f} to {points[-1][1]:.1f}")
    label = f"mIoU in % along {axis.title}, {axis.unit}, from {ends[0]:g} to {ends[1]:g}: {'; '.join(said)}"
    return Html(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" style="max-width:36rem" role="img" aria-label="{markup(label)}">\n'
        f"{joined(list(map(Html, parts)))}\n</svg>"
    )


def limits(table: Table) -> tuple[float, float]:
    """Return the mIoU, %, at the bottom and at the top of all curves, multiples of 10."""
    values = [float(row[name]) for row in table.rows for name in _ENDS if row[name]]
    if not values:
        return 0.0, 100.0
    low, high = 10 * (min(values) // 10), 10 * -(-max(values) // 10)
    return low, max(high, low + 10)


_ENDS = ("miou_percent", "miou_low_percent", "miou_high_percent")


def _colour(index: int) -> str:
    """Return the colour of a model; black, which a dark screen hides, as that of text."""
    colour = COLOURS[index % len(COLOURS)]
    return "var(--ink)" if colour == "#000000" else colour


def _frame(axis: Axis, low: float, high: float) -> Html:
    """Return the lines across, their numbers, those of the points, and the unit."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = ['<text x="0" y="11">mIoU, %</text>']
    step = next(step for step in (5, 10, 20, 50) if (high - low) / step <= _GRID)
    for miou in range(int(low), int(high) + 1, step):
        y = bottom - (miou - low) / (high - low) * (bottom - _TOP)
        parts.append(f'<path class="axis" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{miou}</text>')
    first, last = axis.shown(axis.values[0]), axis.shown(axis.values[-1])
    for value in axis.values:
        at = axis.shown(value)
        x = _LEFT + (at - first) / (last - first) * (right - _LEFT)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{at:g}</text>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{markup(axis.unit)}</text>'
    )
    return joined(list(map(Html, parts)))
