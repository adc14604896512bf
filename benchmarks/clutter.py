"""How well a model segments generated scenes, beside a floor without a network.

    python benchmarks/clutter.py [--model PATH] --count 200 --size 256 --difficulty 0.2

The floor knows only the colour of a pixel: from scenes of another seed it takes, for every cell of a 16 x 16 x 16
histogram of RGB values, the class that is most frequent there. Prints a table and writes
`benchmarks/results/clutter-<conditions>.csv`; all scores are in %, over all scenes together.
"""

import argparse
import csv
import re
from pathlib import Path

import numpy as np

from fanet.classes import ZEROWASTE
from fanet.files import atomic_path, make_folder
from fanet.segmentation import load_model
from fanet.segmentation.data.clutter import ClutterPool
from fanet.segmentation.engine.evaluate import evaluate
from fanet.segmentation.metrics import ConfusionMatrix

RESULTS = Path(__file__).parent / "results"
FLOOR_COUNT, FLOOR_SEED = 400, 2000003  # the scenes the histogram is taken from
BINS = 16  # per channel
RESAMPLES = 1000  # of the bootstrap


class ColourHistogram:
    """The floor: the most frequent class of a pixel's colour cell, background where no pixel was seen."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        pairs = self._cells(images) * len(ZEROWASTE) + labels
        counts = np.bincount(pairs.ravel(), minlength=BINS**3 * len(ZEROWASTE))
        self.classes = counts.reshape(BINS**3, len(ZEROWASTE)).argmax(axis=1)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (H, W) class indices."""
        return self.classes[self._cells(image)]

    @staticmethod
    def _cells(images: np.ndarray) -> np.ndarray:
        red, green, blue = np.moveaxis(images.astype(np.int32) * BINS // 256, -1, 0)
        return (red * BINS + green) * BINS + blue


def score(matrices: list[ConfusionMatrix]) -> dict[str, float]:
    """Scores in % over all scenes, with a 95 % bootstrap interval of the mIoU over the scenes drawn.

    Args:
        matrices: one a scene.
    """
    stack = np.stack([matrix.matrix for matrix in matrices])

    def pooled(which: np.ndarray) -> ConfusionMatrix:
        total = ConfusionMatrix(len(ZEROWASTE))
        total.matrix += stack[which].sum(axis=0)
        return total

    rng = np.random.default_rng(0)
    mious = [100 * pooled(rng.integers(len(stack), size=len(stack))).miou for _ in range(RESAMPLES)]
    low, high = np.percentile(mious, (2.5, 97.5))
    scores = pooled(np.arange(len(stack))).to_dict(ZEROWASTE.names)
    return {
        "miou_percent": scores["miou"],
        "miou_low_percent": low,
        "miou_high_percent": high,
        "pixel_accuracy_percent": scores["pixel_accuracy"],
        **{f"iou_{name}_percent": value for name, value in scores["iou"].items()},
    }


def print_table(rows: list[dict]) -> None:
    """Methods as columns: they are few and the scores many."""
    print(f"{'':24}" + "".join(f"{row['method']:>24}" for row in rows))
    for key in list(rows[0])[1:]:
        values = (f"{'absent' if row[key] is None else format(row[key], '.1f'):>24}" for row in rows)
        print(f"{key.removesuffix('_percent'):24}" + "".join(values))


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder of a model; default: the one inside the package")
    parser.add_argument("--count", type=int, default=200, help="held-out scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of a scene, pixels (default: %(default)s)")
    parser.add_argument("--difficulty", type=float, default=0.2, help="0..1 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1000003, help="of the held-out scenes (default: %(default)s)")
    args = parser.parse_args()
    if args.seed == FLOOR_SEED:
        parser.error(f"--seed {FLOOR_SEED} is that of the histogram's scenes: choose another")

    model = load_model(args.model)
    held_out = ClutterPool(args.count, args.seed, args.size, args.difficulty)
    scenes = [np.s_[index : index + 1] for index in range(len(held_out))]
    of_model = [evaluate(model, held_out.images[scene], held_out.labels[scene]) for scene in scenes]

    training = ClutterPool(FLOOR_COUNT, FLOOR_SEED, args.size, args.difficulty)
    histogram = ColourHistogram(training.images, training.labels)
    of_floor = []
    for image, labels in held_out:
        of_floor.append(ConfusionMatrix(len(ZEROWASTE)))
        of_floor[-1].update(histogram(image), labels)

    name = "fanet_pico_clutter" if args.model is None else Path(args.model).resolve().name
    rows = [{"method": name, **score(of_model)}, {"method": "colour histogram", **score(of_floor)}]
    print_table(rows)
    conditions = f"{args.count}x{args.size}px-difficulty{args.difficulty:g}-seed{args.seed}"
    if args.model is not None:
        conditions = f"{re.sub(r'[^A-Za-z0-9_.]+', '_', name)}-{conditions}"
    with atomic_path(make_folder(RESULTS) / f"clutter-{conditions}.csv") as path:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for row in rows:
                writer.writerow(
                    {key: f"{value:.2f}" if isinstance(value, float) else value for key, value in row.items()}
                )


if __name__ == "__main__":
    main()
