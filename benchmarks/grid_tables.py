"""The table of `tables.py` about the trainings of grid.py."""

from collections.abc import Iterable

from measuring import read_csv
from speed_tables import NONE


def grid(stem: str, down: str, across: str) -> list[list[str]]:
    """Format a file of grid.py: mean mIoU in %, with the lowest and the highest of the runs that differ in other axes.

    Args:
        stem: Name of the file without its suffix.
        down: The axes whose places are rows, separated by commas; the split is one as well.
        across: The axis whose places are columns.
    """
    rows = read_csv(stem)
    axes = down.split(",")
    columns = distinct(row[across] for row in rows)
    table = [[*axes, *(f"{column} (%)" for column in columns)]]
    for place in distinct(tuple(row[axis] for axis in axes) for row in rows):
        here = [row for row in rows if tuple(row[axis] for axis in axes) == place]
        table.append([*place, *(spread([row for row in here if row[across] == column]) for column in columns)])
    return table


def spread(rows: list[dict[str, str]]) -> str:
    """Return the mean mIoU of some rows, and the lowest and the highest; a dash without any."""
    scores = [float(row["miou"]) for row in rows]
    if not scores:
        return NONE
    mean = f"{sum(scores) / len(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ({min(scores):.1f} to {max(scores):.1f})"


def distinct(items: Iterable) -> list:
    """Return the items in their order, each once."""
    return list(dict.fromkeys(items))
