"""The tables of `tables.py` about time and memory: each function formats a file of results, its header first."""

from measuring import read_csv
from scaling import by_model, fit

NONE = "—"
# Of the shapes of convolutions, those that take the most time
SHAPES = 10

Rows = list[list[str]]


def throughput(stem: str) -> Rows:
    """Format a file of throughput.py with one mode: medians, with quartiles in brackets."""
    rows = [["model", "images/s", "ms", "time over the first's", "peak memory (MB)"]]
    for row in read_csv(stem):
        rows.append(
            [
                f"`{row['model']}`",
                f"{float(row['images_per_s']):.1f}",
                _spread(row, "latency_ms", ".1f"),
                _spread(row, "ratio", ".2f"),
                row["peak_memory_mb"],
            ]
        )
    return rows


def modes(stem: str) -> Rows:
    """Format a file of throughput.py with several modes: how many times as fast as the first row."""
    rows = [["model", "mode", "times as fast", "ms", "ms per GMAC", "start-up (s)", "peak memory (MB)"]]
    for row in read_csv(stem):
        low, high = (1 / float(row[key]) for key in ("ratio_q3", "ratio_q1"))
        rows.append(
            [
                f"`{row['model']}`",
                f"`{row['mode']}`",
                f"{_times_as_fast(row['ratio'])} ({low:.2f} to {high:.2f})",
                _spread(row, "latency_ms", ".1f"),
                f"{float(row['ms_per_gmac']):.1f}",
                f"{float(row['start_s']):.1f}",
                row["peak_memory_mb"],
            ]
        )
    return rows


def scaling(stem: str) -> Rows:
    """Fit the points of a file of scaling.py: exponents, and where the curves bend, a row for each network."""
    rows = [["model", "time: exponent", "steeper from", "memory: exponent", "steeper from"]]
    for model, points in by_model(read_csv(stem)).items():
        (time, time_bend), (memory, memory_bend) = fit(points, "latency_ms"), fit(points, "memory_mb")
        rows.append([f"`{model}`", f"{time:.2f}", time_bend or NONE, f"{memory:.2f}", memory_bend or NONE])
    return rows


def scaling_points(stem: str) -> Rows:
    """List the points of a file of scaling.py: a row for each value, two columns for each network."""
    models = by_model(read_csv(stem))
    first = next(iter(models.values()))
    rows = [[first[0]["axis"], *(f"`{model}` {unit}" for model in models for unit in ("ms", "MB"))]]
    for index, point in enumerate(first):
        found = [points[index] for points in models.values()]
        cells = [
            cell for row in found for cell in (f"{float(row['latency_ms']):.0f}", f"{float(row['memory_mb']):.0f}")
        ]
        rows.append([point["value"], *cells])
    return rows


def prediction(stem: str) -> Rows:
    """Format a file of prediction.py: a row for each engine."""
    rows = [["engine", "images/s", "times as fast", "video frames/s", "times as fast", "latency p50 (ms)", "p95", "p99",
             "belt at 3 m/s in p99 (mm)", "start-up (s)", "pixels as the first (%)"]]  # fmt: skip
    for row in read_csv(stem):
        video = [f"{float(row['video_per_s']):.2f}", _times_as_fast(row["video_ratio"])] if row["video_per_s"] else []
        rows.append(
            [
                f"`{row['engine']}`",
                f"{float(row['images_per_s']):.2f}",
                _times_as_fast(row["images_ratio"]),
                *(video or [NONE, NONE]),
                *(f"{float(row[f'{quantile}_ms']):.0f}" for quantile in ("p50", "p95", "p99")),
                row["belt_mm"],
                f"{float(row['start_s']):.1f}",
                f"{float(row['agreement_percent']):.2f}",
            ]
        )
    return rows


def profile(stem: str, kind: str) -> Rows:
    """List what takes the time by a file of profile_network.py: its rows of one kind."""
    found = [row for row in read_csv(stem) if row["kind"] == kind]
    counted = any(float(row["gflops"]) for row in found)
    rows = [[kind, "calls", "ms", "share (%)", *(["GFLOPS"] if counted else [])]]
    for row in found[:SHAPES] if kind == "convolution" else found:
        gflops = [f"{float(row['gflops']):.0f}" if float(row["gflops"]) else NONE] if counted else []
        rows.append([row["name"], row["calls"], f"{float(row['ms']):.1f}", row["share_percent"] or NONE, *gflops])
    return rows


def kept(stem: str) -> Rows:
    """List what a step keeps by a file of kept_tensors.py: a row for each model."""
    found = read_csv(stem)
    operations = list(dict.fromkeys(row["operation"] for row in found))
    sizes = {(row["model"], row["operation"]): float(row["mb"]) for row in found}
    rows = [["kept for the gradients (MB)", *operations, "in all"]]
    for model in dict.fromkeys(row["model"] for row in found):
        cells = [f"{sizes[model, name]:.0f}" if (model, name) in sizes else NONE for name in operations]
        rows.append([f"`{model}`", *cells, f"{sum(size for (name, _), size in sizes.items() if name == model):.0f}"])
    return rows


def training_steps(stem: str) -> Rows:
    """Format a file of training_steps.py: a row for each settings."""
    rows = [["code", "settings", "ms a step", "images/s", "times as fast", "peak memory (MB)"]]
    for row in read_csv(stem):
        step = f"{row['step_ms']} ({row['step_ms_low']} to {row['step_ms_high']})"
        rows.append(
            [
                row["code"],
                f"`{row['settings']}`" if row["settings"] else NONE,
                step,
                row["images_per_s"],
                f"{float(row['times_as_fast']):.2f}",
                row["peak_memory_mb"],
            ]
        )
    return rows


def _spread(row: dict[str, str], key: str, form: str) -> str:
    """Format a median and its quartiles."""
    median, low, high = (format(float(row[name]), form) for name in (key, f"{key}_q1", f"{key}_q3"))
    return f"{median} ({low} to {high})"


def _times_as_fast(ratio: str) -> str:
    """Format a time over the first's the other way round."""
    return f"{1 / float(ratio):.2f}"
