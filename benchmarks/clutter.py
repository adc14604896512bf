"""Score models on generated scenes, beside a baseline without a network.

    python benchmarks/clutter.py [--model PATH …] --count 500 --size 256 --difficulty 0.2

The scenes are those of the test split, which no training has seen. The baseline knows only the colour of a pixel: for
every cell of a 16 x 16 x 16 histogram of RGB values it predicts the class that is most frequent there in training
scenes. Prints a table and writes `benchmarks/results/clutter-<model>-<conditions>.csv` for every model; all scores are
in %, over all scenes together. For scores along one cause of clutter at a time see `fanet benchmark clutter`.
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fanet.classes import ZEROWASTE
from fanet.files import make_folder
from fanet.segmentation import load_model
from fanet.segmentation.data import ClutterScenes, Sample
from fanet.segmentation.data.in_memory import InMemory
from fanet.segmentation.evaluation.clutterbench.models import short_name
from fanet.segmentation.evaluation.clutterbench.table import score_cells, scores_of, write_rows
from fanet.segmentation.evaluation.evaluate import image_counts
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts

RESULTS = Path(__file__).parent / "results"
BASELINE_COUNT = 400  # training scenes that the histogram is taken from
BINS = 16  # per channel
SHIPPED = "fanet_pico_clutter"  # how the model inside the package is called here


class ColourHistogram:
    """The baseline: the most frequent class of a pixel's colour cell, background for cells without pixels."""

    def __init__(self, scenes: Iterable[Sample]) -> None:
        counts = np.zeros((BINS**3, len(ZEROWASTE)), dtype=np.int64)
        for scene in scenes:
            np.add.at(counts, (self._cells(scene.image), scene.labels), 1)
        self.classes = counts.argmax(axis=1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) class indices."""
        return self.classes[self._cells(image)]

    @staticmethod
    def _cells(image: np.ndarray) -> np.ndarray:
        red, green, blue = np.moveaxis(image.astype(np.int32) * BINS // 256, -1, 0)
        return (red * BINS + green) * BINS + blue


def score(counts: ImageCounts) -> dict[str, float]:
    """Compute scores in % over all scenes, with a 95 % bootstrap interval of the mIoU over scenes."""
    scores = scores_of(counts)
    mious = {name: value for name, value in scores.items() if name.startswith("miou")}
    accuracy = 100 * ConfusionMatrix.of(counts.matrix).pixel_accuracy
    return mious | {"pixel_accuracy_percent": accuracy} | scores


def baseline_counts(held_out: InMemory, size: int, difficulty: float) -> ImageCounts:
    """Count the baseline's pixels by true class and predicted class."""
    training = ClutterScenes("train", count=BASELINE_COUNT, size=size, difficulty=difficulty)
    histogram = ColourHistogram(InMemory(training, "drawing training scenes"))
    matrices = []
    for scene in held_out:
        confusion = ConfusionMatrix(len(ZEROWASTE))
        confusion.update(histogram(scene.image), scene.labels)
        matrices.append(confusion.matrix)
    return ImageCounts.of(np.stack(matrices))


def print_table(rows: list[dict]) -> None:
    """Print methods as columns, as they are few and the scores many."""
    print(f"{'':24}" + "".join(f"{row['method']:>24}" for row in rows))
    for key in list(rows[0])[1:]:
        values = (f"{'absent' if np.isnan(row[key]) else format(row[key], '.1f'):>24}" for row in rows)
        print(f"{key.removesuffix('_percent'):24}" + "".join(values))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", help="folders of models; default: the one inside the package")
    parser.add_argument("--count", type=int, default=500, help="held-out scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of a scene, pixels (default: %(default)s)")
    parser.add_argument("--difficulty", type=float, default=0.2, help="0..1 (default: %(default)s)")
    args = parser.parse_args()

    paths = {short_name(path): path for path in args.model} if args.model else {SHIPPED: None}
    models = {name: load_model(path) for name, path in paths.items()}
    scenes = ClutterScenes("test", count=args.count, size=args.size, difficulty=args.difficulty)
    held_out = InMemory(scenes, "drawing test scenes")
    rows = [{"method": name, **score(image_counts(model.predictor(), held_out))} for name, model in models.items()]
    baseline = {"method": "colour histogram", **score(baseline_counts(held_out, args.size, args.difficulty))}
    print_table([*rows, baseline])
    for row in rows:
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", row["method"])
        name += f"-test{args.count}-{args.size}x{args.size}-difficulty{args.difficulty:g}"
        cells = [{"method": each.pop("method")} | score_cells(each) for each in (dict(row), dict(baseline))]
        write_rows(make_folder(RESULTS) / f"clutter-{name}.csv", list(row), cells)


if __name__ == "__main__":
    main()
