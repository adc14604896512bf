"""Segment what the page is given, with any of its models, windows and engines."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError, printable_line
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.network.shipped import FILE_SUFFIXES, load_model, load_predictor, shipped_models, trained_on
from fanet.segmentation.prediction.engines import AUTO, ENGINES
from fanet.segmentation.prediction.extras import Extras, Outcome, predict_outcome
from fanet.segmentation.prediction.objects import SegmentedObject, find_objects
from fanet.segmentation.prediction.plan import Prediction, plan_predictions
from fanet.segmentation.prediction.predict_files import predict_planned, summary
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.results import write_image_results
from fanet.segmentation.prediction.undecided import as_drawn, with_undecided
from fanet.web.inputs import Source, check_uploads, naming

#: Windows to choose from, by what the page calls them; None for the whole image.
WINDOWS: dict[str, tuple[int, int] | None] = {
    "automatic": None,
    "whole image": None,
    "256 × 256": (256, 256),
    "512 × 512": (512, 512),
    "1024 × 1024": (1024, 1024),
}
AUTOMATIC = next(iter(WINDOWS))
_LARGE, _LARGE_WINDOW = 2 * 10**6, (1024, 1024)  # pixels from which `automatic` takes windows, and which

_KEPT = 600  # seconds for which files for download are kept
_OBJECTS = Extras(objects=True)
# Packages without which an engine cannot be chosen.
_NEEDED = {"onnx": ("onnxruntime", "onnxscript"), "openvino": ("openvino", "onnxscript")}


@dataclass(frozen=True, eq=False)
class Segmented:
    """An image and what a model made of it.

    Attributes:
        source: The image.
        model: Name of the model.
        classes: What the labels mean.
        labels: (H, W) uint8.
        drawn: The classes, and a last one for undecided pixels if the model has thresholds.
        confidence: The largest probability at every pixel, (H, W) float32.
        probabilities: (num_classes, H, W) float16.
        objects: The connected regions, largest first.
        seconds: Wall time of the prediction.
    """

    source: Source
    model: str
    classes: ClassScheme
    labels: np.ndarray
    drawn: ClassScheme
    confidence: np.ndarray
    probabilities: np.ndarray
    objects: list[SegmentedObject]
    seconds: float

    @property
    def drawn_labels(self) -> np.ndarray:
        """The labels, (H, W) uint8, as indices into `drawn`."""
        return as_drawn(self.labels, self.classes, self.drawn)


def engines() -> list[str]:
    """Return the engines whose packages are installed."""
    return [name for name in ENGINES if all(find_spec(part) for part in _NEEDED.get(name, ()))] + [AUTO]


def about_model(name: str) -> str:
    """Return what a model was trained on, as far as that is known."""
    return f"trained on {trained_on(name)}" if name in shipped_models() else "your model"


@cache
def network(name: str) -> SegmentationModel:
    """Return a model, which is loaded once.

    Raises:
        UserError: As for `load_model`.
    """
    return load_model(name)


@cache
def _predictor(name: str, engine: str) -> Predictor:
    if Path(name).suffix.lower() in FILE_SUFFIXES:
        return load_predictor(name, engine=None if engine == ENGINES[0] else engine)
    return network(name).predictor(engine=engine)


def predictor(name: str, engine: str = ENGINES[0], window: str = AUTOMATIC, pixels: int = 0) -> Predictor:
    """Return a predictor.

    Args:
        name: As for `load_predictor`.
        engine: One of `engines()`.
        window: A key of `WINDOWS`.
        pixels: Number of pixels of the image, for the automatic window.

    Raises:
        UserError: There is no usable model under that name, or the engine is not available.
    """
    found = _predictor(name, engine)
    chosen = WINDOWS[window]
    if window == AUTOMATIC and found.thresholds is not None:
        chosen = found.thresholds.window  # with which they were found
    elif window == AUTOMATIC and pixels > _LARGE:
        chosen = _LARGE_WINDOW
    return found if found.window is not None else replace(found, window=chosen)  # a file for one size has its own


def segment(source: Source, model: str, engine: str = ENGINES[0], window: str = AUTOMATIC) -> Segmented:
    """Segment an image. Arguments as for `predictor`.

    Raises:
        UserError: The model takes no such image, or the engine is not available.
    """
    height, width = source.pixels.shape[:2]
    run = predictor(model, engine, window, height * width)
    start = time.perf_counter()
    outcome = predict_outcome(run, source.pixels, Extras(probabilities=True), source.name)
    seconds = time.perf_counter() - start
    assert outcome.probabilities is not None and outcome.confidence is not None, "they were asked for"
    objects = find_objects(outcome.labels, run.classes, outcome.confidence, _OBJECTS.min_area)
    objects.sort(key=lambda entry: -entry.area)
    return Segmented(
        source,
        model,
        run.classes,
        outcome.labels,
        run.classes if run.thresholds is None else with_undecided(run.classes),
        outcome.confidence,
        outcome.probabilities.astype(np.float16),
        objects,
        seconds,
    )


def pack_results(found: Segmented, folder: Path) -> Path:
    """Write label map, overlay and table of objects of an image as `fanet predict` does, and return them as a ZIP."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        output = Path(temporary) / "results"
        files = Prediction(Path(found.source.name), output, Path(found.source.name), extras=_OBJECTS)
        with write_image_results([files], found.classes, True, len(found.drawn) > len(found.classes)) as results:
            results.write(files, found.source.pixels, Outcome(found.labels, found.confidence))
        return _zipped(output, folder, found.source.name)


def segment_all(paths: Sequence[str | Path], model: str, engine: str, window: str, folder: Path) -> Path:
    """Segment files, and return the results of all as a ZIP.

    Raises:
        UserError: One is not an image within the limits, or the model does not take it.
    """
    run = predictor(model, engine, window, pixels=_LARGE + 1)
    checked = check_uploads(paths, len(run.classes))
    with tempfile.TemporaryDirectory(dir=folder) as temporary, naming(checked):
        output = Path(temporary) / "results"
        named = [(path, Path(path.name)) for path in checked]  # with suffix: `a.jpg` and `a.png` may both be there
        planned = plan_predictions(named, output, channels=run.channels, extras=_OBJECTS)
        _, failures = predict_planned(run, planned)
        if failures:
            raise UserError(summary(failures, len(planned)))
        return _zipped(output, folder, "all")


def _zipped(output: Path, folder: Path, name: str) -> Path:
    """Pack a folder into a ZIP in a folder of its own, and return its path; remove earlier ones, which were copied."""
    for earlier in folder.glob("*/*.zip"):
        if time.time() - earlier.stat().st_mtime > _KEPT:
            shutil.rmtree(earlier.parent, ignore_errors=True)
    target = Path(tempfile.mkdtemp(dir=folder)) / f"fanet_{printable_line(name)}"
    return Path(shutil.make_archive(str(target), "zip", output))
