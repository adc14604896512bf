"""`report.html`: what each cause looks like, and what it costs each model."""

from pathlib import Path

from fanet.classes import ZEROWASTE
from fanet.segmentation.data.clutter import ClutterScenes
from fanet.segmentation.evaluation.clutterbench.axes import AXES, Axis
from fanet.segmentation.evaluation.clutterbench.curves import axis_curves, legend_of, limits
from fanet.segmentation.evaluation.clutterbench.models import short_names
from fanet.segmentation.evaluation.clutterbench.table import OF_MODEL, SHARED, Row, Table
from fanet.segmentation.evaluation.report.images import figure
from fanet.segmentation.evaluation.report.page import Html, paragraph, row, section, shaded, table, write_page

REPORT_NAME = "report.html"


def write_report(scores: Table, path: str | Path, seed: int, size: tuple[int, int]) -> None:
    """Write the page.

    Args:
        scores: All rows.
        path: The file.
        seed: Seed of the scenes.
        size: Their height and width in pixels.

    Raises:
        UserError: The file cannot be written.
    """
    axes = [axis for axis in AXES.values() if any(scores.curve(model, axis.name) for model in scores.models)]
    first = scores.rows[0]
    sections = [
        section(
            "Summary",
            _summary(scores, axes),
            paragraph(
                "For each axis the mIoU at its best and at its worst point, and the difference. The intervals further "
                "below are 95 % bootstrap intervals over scenes: they cover other scenes, not another training."
            ),
        ),
        *(_axis_section(axis, scores, seed, size) for axis in axes),
        section(
            "What was measured", table("Settings of all models", ["setting", "value"], _facts(first)), _models(scores)
        ),
    ]
    write_page(
        Path(path),
        "ClutterBench",
        f"mIoU on {first['scenes']} generated scenes at each point, in which one cause of clutter changes and nothing "
        "else does.",
        sections,
    )


def _summary(scores: Table, axes: list[Axis]) -> Html:
    rows = []
    for model, name in zip(scores.models, short_names(scores.models), strict=True):
        cells: list[object] = [name]
        for axis in axes:
            values = [float(point["miou_percent"]) for point in scores.curve(model, axis.name) if point["miou_percent"]]
            if not values:
                cells.append("–")
                continue
            drop = max(values) - min(values)
            cells.append(shaded(f"{max(values):.1f} → {min(values):.1f} (−{drop:.1f})", min(1, drop / 50)))
        rows.append(cells)
    return table(
        "mIoU, %, at the best and the worst point of each axis", ["model", *(axis.title for axis in axes)], rows
    )


def _axis_section(axis: Axis, scores: Table, seed: int, size: tuple[int, int]) -> Html:
    low, high = limits(scores)
    along = f"{axis.title.lower()} ({axis.unit})"
    examples = [
        figure(
            ClutterScenes("test", 1, seed, size, causes={axis.name: value}).load_image(0),
            f"{axis.shown(value):g}",
            f"A scene with {axis.title.lower()} {axis.shown(value):g} {axis.unit}",
        )
        for value in axis.values
    ]
    head = ["", *(f"{axis.shown(value):g}" for value in axis.values)]
    by_class = table(f"IoU by class, %, by {along}", head, _class_rows(axis, scores))
    return section(
        axis.title,
        paragraph(axis.meaning),
        legend_of(scores.models),
        axis_curves(axis, scores, low, high),
        row(examples),
        table(f"mIoU, %, with its 95 % interval, by {along}", ["model", *head[1:]], _score_rows(axis, scores)),
        Html(f"<details>\n<summary>IoU by class</summary>\n{by_class}\n</details>"),
    )


def _score_rows(axis: Axis, scores: Table) -> list[list[object]]:
    rows = []
    for model, name in zip(scores.models, short_names(scores.models), strict=True):
        rows.append([name, *(_with_interval(scores.find(model, axis.name, value)) for value in axis.values)])
    return rows


def _with_interval(point: Row | None) -> object:
    if point is None or not point["miou_percent"]:
        return "–"
    miou, low, high = (
        float(point[name] or "nan") for name in ("miou_percent", "miou_low_percent", "miou_high_percent")
    )
    return shaded(f"{miou:.1f} ({low:.1f} to {high:.1f})", miou / 100)


def _class_rows(axis: Axis, scores: Table) -> list[list[object]]:
    rows: list[list[object]] = []
    for model, name in zip(scores.models, short_names(scores.models), strict=True):
        points = [scores.find(model, axis.name, value) for value in axis.values]
        for label in ZEROWASTE.names:
            found = ["" if point is None else point[f"iou_{label}_percent"] for point in points]
            cells: list[object] = [shaded(f"{float(cell):.1f}", float(cell) / 100) if cell else "–" for cell in found]
            rows.append([f"{name}: {label}", *cells])
    return rows


def _facts(first: Row) -> list[list[object]]:
    return [[name, first[name]] for name in SHARED]


def _models(scores: Table) -> Html:
    rows = []
    for model in scores.models:
        settings = next(point for point in scores.rows if point["model"] == model)
        rows.append([model, *(settings[name] for name in OF_MODEL)])
    return table("Models", ["model", *OF_MODEL], rows)
