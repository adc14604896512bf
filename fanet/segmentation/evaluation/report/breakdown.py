"""Scores that explain as sections of the page: by size, by border, by class, calibration."""

from collections.abc import Callable, Mapping
from typing import Any

from fanet.classes import ClassScheme
from fanet.segmentation.evaluation.breakdown.text import ends
from fanet.segmentation.evaluation.report.images import swatch
from fanet.segmentation.evaluation.report.page import Html, paragraph, section, shaded, table
from fanet.segmentation.evaluation.report.scores import percent

_SIZES = (
    "Objects are connected regions of the truth, except the background; sizes are shares of the image. Pixels that are "
    "predicted but not true count at the size of the object that the predicted region covers most of."
)
_BORDERS = "Pixels by their distance to the nearest one of another class."
_CLASSES = (
    "The boundary IoU compares only what is within 2 % of the image's diagonal of the outlines of truth and prediction."
)
_CALIBRATION = (
    "Pixels by the probability of the predicted class. Where the accuracy is below it, the model is too sure of itself."
)


def breakdown_sections(result: Mapping[str, Any], classes: ClassScheme) -> list[Html]:
    """Return a section for each breakdown of an evaluation.

    Args:
        result: The contents of `metrics.json`.
        classes: What the labels mean.
    """
    sections = []
    for key, title, note in (("by_size", "By size", _SIZES), ("by_border", "By distance to the border", _BORDERS)):
        if result.get(key):
            sections.append(section(title, _grouped(result[key]["groups"], title, classes), paragraph(note)))
    columns = {
        title: result[key] for key, title in (("by_class", "IoU"), ("boundary_iou", "boundary IoU")) if result.get(key)
    }
    if columns:
        sections.append(section("Intervals by class", _by_class(columns, classes), paragraph(_CLASSES)))
    if result.get("calibration"):
        sections.append(section("Calibration", *_calibration(result["calibration"])))
    return sections


def _grouped(groups: list[Mapping[str, Any]], title: str, classes: ClassScheme) -> Html:
    counts: dict[str, Callable[[Any], str]] = {"objects": str, "share_of_pixels": percent}
    known = {key: show for key, show in counts.items() if key in groups[0]}
    head = [
        "",
        *("pixels, %" if key == "share_of_pixels" else key for key in known),
        "mIoU",
        "interval",
        *(swatch(colour, name) for name, colour in zip(classes.names, classes.palette, strict=True)),
    ]
    rows: list[list[object]] = [
        [
            group["name"],
            *(show(group[key]) for key, show in known.items()),
            _cell(group["miou"]),
            ends(group["miou_low"], group["miou_high"]),
            *(_cell(group["iou"][name]) for name in classes.names),
        ]
        for group in groups
    ]
    return table(f"{title}, IoU in %, with the 95 % interval over images", head, rows)


def _by_class(columns: Mapping[str, Mapping[str, Any]], classes: ClassScheme) -> Html:
    head = ["class", *(text for title in columns for text in (title, "interval"))]
    rows: list[list[object]] = []
    for name, colour in zip(classes.names, classes.palette, strict=True):
        row: list[object] = [swatch(colour, name)]
        for part in columns.values():
            row += [_cell(part["iou"][name]), ends(part["iou_low"][name], part["iou_high"][name])]
        rows.append(row)
    mean: list[object] = ["mean"]
    for part in columns.values():
        mean += [_cell(part["miou"]), ends(part["miou_low"], part["miou_high"])]
    return table("By class, %, with 95 % intervals over images", head, [*rows, mean])


def _calibration(found: Mapping[str, Any]) -> list[Html]:
    rows = [
        [
            f"{100 * part['from']:.0f} to {100 * part['to']:.0f} %",
            *(_cell(part[key]) for key in ("share_of_pixels", "confidence", "accuracy")),
        ]
        for part in found["bins"]
    ]
    interval = ends(found["ece_low"], found["ece_high"])
    error = f"Expected calibration error: {percent(found['ece'])} % {interval}".rstrip()
    head = ["probability", "pixels", "mean probability", "accuracy"]
    return [paragraph(f"{error}."), table("By probability, %", head, rows), paragraph(_CALIBRATION)]


def _cell(value: float | None) -> object:
    return percent(value) if value is None else shaded(percent(value), value / 100)
