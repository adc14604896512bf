"""Curves of a run as SVG within the page."""

import math
from collections.abc import Sequence

from fanet.segmentation.evaluation.report.page import Html, markup

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 10, 26, 24  # room for the labels of the axes and the title


def curve(title: str, steps: Sequence[float], values: Sequence[float | None]) -> Html:
    """Return a value over the iterations of a run as a line.

    Args:
        title: The value's name with its unit.
        steps: Iterations, ascending.
        values: The value after each; those that are None or not finite are left out.
    """
    points = [
        (step, value) for step, value in zip(steps, values, strict=True) if value is not None and math.isfinite(value)
    ]
    if not points:
        return Html("")
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = points[0][0], points[-1][0]
    places = [(_place(step, first, last, _LEFT, _WIDTH - _RIGHT), _height(value, low, high)) for step, value in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    x, y = places[-1]
    said = f"{title}: {_short(points[0][1])} at iteration {first}, {_short(points[-1][1])} at iteration {last}"
    return Html(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{markup(said)}">\n'
        f'<text x="{_LEFT}" y="14" style="font-weight:600">{markup(title)}</text>\n'
        f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>\n'
        f"{_label(_LEFT - 6, _TOP + 4, _short(high), 'end')}\n"
        f"{_label(_LEFT - 6, _HEIGHT - _BOTTOM, _short(low), 'end')}\n"
        f"{_label(_LEFT, _HEIGHT - 8, str(first), 'start')}\n"
        f"{_label(_WIDTH - _RIGHT, _HEIGHT - 8, str(last), 'end')}\n"
        f'<polyline class="curve" points="{line}"/><circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="3"/>\n</svg>'
    )


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return start + share * (end - start)


def _height(value: float, low: float, high: float) -> float:
    return _place(value, low, high, _HEIGHT - _BOTTOM, _TOP)


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{markup(text)}</text>'


def _short(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e+")
