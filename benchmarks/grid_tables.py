"""The tables of `tables.py` about the trainings of grid.py, and about what their networks cost."""

from collections.abc import Iterable
from statistics import fmean

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


def classes(stem: str) -> list[list[str]]:
    """Format a file of grid.py with a row for each class: its IoU in each run, below the mean with its interval."""
    rows = read_csv(stem)
    axes = list(rows[0])[: list(rows[0]).index("split")]
    spans = [f"{row['miou']} ({row['miou_low']} to {row['miou_high']})" for row in rows]
    table = [["IoU (%)", *(", ".join(row[axis] for axis in axes) for row in rows)], ["mean", *spans]]
    by_run = [dict(part.rpartition(" ")[::2] for part in row["iou"].split("; ")) for row in rows]
    return [*table, *([name, *(run[name] for run in by_run)] for name in by_run[0])]


def differences(stem: str) -> list[list[str]]:
    """Format a file of grid_differences.py."""
    rows = read_csv(stem)
    axes = list(rows[0])[: list(rows[0]).index("reference")]
    table = [[*axes, "compared with", "mIoU (%)", "difference", "95 % interval", "verdict"]]
    for row in rows:
        scores = f"{float(row['miou']):.2f} and {float(row['reference_miou']):.2f}"
        interval = f"{float(row['low']):+.1f} to {float(row['high']):+.1f}"
        what = [row[axis] for axis in axes]
        table.append([*what, row["reference"], scores, f"{float(row['difference']):+.1f}", interval, row["verdict"]])
    return table


def costs(stem: str) -> list[list[str]]:
    """Format a file of grid_costs.py."""
    rows = read_csv(stem)
    axis = next(iter(rows[0]))
    size, threads = rows[0]["size"].replace("x", "×"), rows[0]["threads"]
    time = f"ms at {size}, {threads} thread{'s' if threads != '1' else ''}"
    table = [[axis, "params (M)", "GMACs", time, f"times as long as {rows[0][axis]}", "a training step, ms"]]
    for row in rows:
        span = f"{float(row['latency_ms_q1']):.0f} to {float(row['latency_ms_q3']):.0f}"
        took = f"{float(row['latency_ms']):.0f} ({span})"
        step = f"{float(row['step_ms']):.0f} ({float(row['step_ratio']):.2f} times)"
        table.append([row[axis], row["params_m"], row["gmacs"], took, f"{float(row['ratio']):.2f}", step])
    return table


def spread(rows: list[dict[str, str]]) -> str:
    """Return the mean mIoU of some rows, and the lowest and the highest; a dash without any."""
    scores = [float(row["miou"]) for row in rows]
    if not scores:
        return NONE
    mean = f"{fmean(scores):.1f}"  # `sum` rounds in one way before Python 3.12, in another from then on
    return mean if len(scores) == 1 else f"{mean} ({min(scores):.1f} to {max(scores):.1f})"


def distinct(items: Iterable) -> list:
    """Return the items in their order, each once."""
    return list(dict.fromkeys(items))
