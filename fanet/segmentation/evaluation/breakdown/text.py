"""Scores that explain as lines for a terminal."""

from collections.abc import Mapping
from typing import Any

_GROUPED = {"by_size": "IoU by size of the object", "by_border": "IoU by distance to the border"}
_MOST_CLASSES = 8  # columns


def breakdown_lines(result: Mapping[str, Any]) -> list[str]:
    """Return tables of what an evaluation found by size, border and class, and its calibration; none without them.

    Args:
        result: The contents of `metrics.json`.
    """
    lines: list[str] = []
    for key, title in _GROUPED.items():
        if result.get(key):
            scored = [name for name in result["iou"] if any(x["iou"][name] is not None for x in result[key]["groups"])]
            names = scored[:_MOST_CLASSES]
            lines += ["", f"{title}, % [95 % interval over images]"]
            head = ["", "mIoU", "", *names]
            rows = [
                [group["name"], *with_interval(group, "miou"), *(score(group["iou"][name]) for name in names)]
                for group in result[key]["groups"]
            ]
            lines += aligned([head, *rows])
    columns = {
        title: result[key] for key, title in (("by_class", "IoU"), ("boundary_iou", "boundary IoU")) if result.get(key)
    }
    if columns:
        lines += ["", "by class, % [95 % interval over images]"]
        head = ["", *(text for title in columns for text in (title, ""))]
        rows = [
            [name, *(text for part in columns.values() for text in _of_class(part, name))] for name in result["iou"]
        ]
        rows.append(["mean", *(text for part in columns.values() for text in with_interval(part, "miou"))])
        lines += aligned([head, *rows])
    if result.get("calibration"):
        error, ends = with_interval(result["calibration"], "ece")
        lines += ["", f"expected calibration error  {error} %  {ends}".rstrip()]
    return lines


def with_interval(scores: Mapping[str, Any], key: str) -> tuple[str, str]:
    """Return a score and its interval as text: `54.3`, `[52.1, 56.0]`."""
    return score(scores[key]), ends(scores[f"{key}_low"], scores[f"{key}_high"])


def score(value: float | None) -> str:
    """Return a score as text."""
    return "-" if value is None else f"{value:.1f}"


def ends(low: float | None, high: float | None) -> str:
    """Return an interval as text, empty if there is none."""
    return "" if low is None or high is None else f"[{low:.1f}, {high:.1f}]"


def aligned(rows: list[list[str]]) -> list[str]:
    """Return rows of texts in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _of_class(part: Mapping[str, Any], name: str) -> tuple[str, str]:
    return score(part["iou"][name]), ends(part["iou_low"][name], part["iou_high"][name])
