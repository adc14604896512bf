"""The sweep: every model on the scenes of every point, each point once."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fanet.classes import ZEROWASTE
from fanet.errors import UserError, needs_extra
from fanet.files import make_folder
from fanet.segmentation.data.clutter import SPLIT_SEEDS, ClutterScenes
from fanet.segmentation.evaluation.clutterbench.axes import Axis, axes_of
from fanet.segmentation.evaluation.clutterbench.models import Contestant
from fanet.segmentation.evaluation.clutterbench.page import REPORT_NAME, write_report
from fanet.segmentation.evaluation.clutterbench.plot import PLOT_NAME, plot_curves
from fanet.segmentation.evaluation.clutterbench.table import SCORES, SCORES_NAME, Row, Table, score_cells, scores_of
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts
from fanet.threads import map_ahead

with needs_extra("seg", "cv2"):
    import cv2

    from fanet.scenes import Causes

SCENES = 100
SIZE = (256, 256)
SEED = SPLIT_SEEDS["test"]  # scenes that no training has seen

Points = list[tuple[Axis, float]]


def run_clutterbench(
    models: Sequence[str],
    output: str | Path,
    axes: Sequence[str] | None = None,
    scenes: int = SCENES,
    size: tuple[int, int] = SIZE,
    seed: int = SEED,
    device: torch.device | str = "cpu",
    engine: str | None = None,
    precision: str | None = None,
    classes: Sequence[str] | None = None,
) -> Table:
    """Score models along the axes and write `scores.csv`, `clutterbench.png` and `report.html`.

    Every point is written as soon as it is finished, and what a folder holds already is not computed again: the same
    call after an interruption continues, and one with further models or axes adds them.

    Args:
        models: Each as for `load_predictor`.
        output: The folder, created if missing.
        axes: Names of axes; all by default.
        scenes: Number of scenes at each point, at least 2.
        size: Their height and width in pixels.
        seed: Seed of the scenes.
        device: As for `load_predictor`.
        engine: As for `load_predictor`.
        precision: As for `load_predictor`.
        classes: As for `load_predictor`.

    Returns:
        All rows of the folder.

    Raises:
        UserError: An argument is out of range, a model cannot be run or has other classes, or the folder holds scores
            of other settings.
    """
    if scenes < 2:
        raise UserError(f"an interval needs at least 2 scenes, got {scenes}")
    # all that may be wrong is looked at before the first scene
    jobs = [
        (ClutterScenes("test", scenes, seed, size, causes=causes), points) for causes, points in _jobs(axes_of(axes))
    ]
    table = Table(make_folder(output) / SCORES_NAME)
    loaded = [Contestant.load(name, torch.device(device), engine, precision, classes) for name in dict.fromkeys(models)]
    shared = {"scenes": str(scenes), "seed": str(seed), "size": f"{size[1]}x{size[0]}"} | _versions()
    table.check(shared, {model.name: model.settings for model in loaded})
    total = scenes * sum(bool(_missing(table, loaded, points)) for _, points in jobs)
    with tqdm(total=total, unit="scene", disable=None, dynamic_ncols=True) as bar:
        for dataset, points in jobs:
            if missing := _missing(table, loaded, points):
                axis, value = points[0]
                bar.set_description(f"{axis.title.lower()} {axis.shown(value):g}")
                table.add(_rows(table, missing, dataset, points, shared, bar))
    plot_curves(table, Path(output) / PLOT_NAME)
    write_report(table, Path(output) / REPORT_NAME, seed, size)
    return table


def _jobs(axes: Sequence[Axis]) -> list[tuple[Causes, Points]]:
    """Return the scenes to draw, and of which points: where axes cross, the scenes are the same."""
    jobs: dict[Causes, Points] = {}
    for axis in axes:
        for value in axis.values:
            jobs.setdefault(Causes.of({axis.name: value}), []).append((axis, value))
    return list(jobs.items())


def _missing(table: Table, models: Sequence[Contestant], points: Points) -> list[Contestant]:
    """Return the models that lack one of the points, which have the same scenes."""
    return [
        model for model in models if any(table.find(model.name, axis.name, value) is None for axis, value in points)
    ]


def _rows(
    table: Table,
    models: Sequence[Contestant],
    dataset: ClutterScenes,
    points: Points,
    shared: Row,
    bar: tqdm,
) -> list[Row]:
    """Return the missing rows of models at points with the same scenes."""
    known = {model.name: _known_scores(table, model.name, points) for model in models}
    unknown = [model for model in models if known[model.name] is None]
    if unknown:
        counts = _counts(unknown, dataset, bar)
        known |= {model.name: score_cells(scores_of(of_model)) for model, of_model in zip(unknown, counts, strict=True)}
    else:
        bar.update(len(dataset))
    return [
        {"model": model.name, "axis": axis.name, "value": f"{value:g}"}
        | (known[model.name] or {})
        | shared
        | model.settings
        for model in models
        for axis, value in points
        if table.find(model.name, axis.name, value) is None
    ]


def _known_scores(table: Table, model: str, points: Points) -> Row | None:
    rows = (table.find(model, axis.name, value) for axis, value in points)
    found = next((row for row in rows if row is not None), None)
    return None if found is None else {name: found[name] for name in SCORES}


def _counts(models: Sequence[Contestant], dataset: ClutterScenes, bar: tqdm) -> list[ImageCounts]:
    """Count the pixels of every scene by true class and predicted class, for each model."""
    matrices = np.zeros((len(models), len(dataset), len(ZEROWASTE), len(ZEROWASTE)), dtype=np.int64)
    for index, (image, labels) in enumerate(map_ahead(dataset.load, range(len(dataset)), 1)):
        for number, model in enumerate(models):
            confusion = ConfusionMatrix(len(ZEROWASTE))
            confusion.update(model.labels(image), labels)
            matrices[number, index] = confusion.matrix
        bar.update()
    return [ImageCounts.of(of_model) for of_model in matrices]


def _versions() -> dict[str, str]:
    return {"fanet": version("fanet"), "torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__}
