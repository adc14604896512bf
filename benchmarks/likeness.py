"""Measure how often `fanet predict` takes images for unlike the calibration's: of the same kind, and shifted ones.

    python benchmarks/likeness.py --photographs DIR

The model `clutter` sees generated scenes. 200 times a random part of them is the calibration's, and the others are new:
as they are, at a quarter of their brightness, and blurred; and photographs, if a folder is given. Writes
`benchmarks/results/likeness-<count>.csv`: for each kind of image and number of calibration images the share in % that
is taken for unlike, without the share of classes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from agreement import photographs
from measuring import RESULTS, write_csv

from fanet.scenes import scene
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.likeness import are_outside, ranges_of, statistics

REPEATS = 200
SIZE = 256
SHIFTED = 50  # images of each kind beside the scenes as they are
CALIBRATION = (50, 100, 200)
COLUMNS = ("images", "calibration_images", "unlike_percent")


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Return a row for each kind of image and number of calibration images, and print it."""
    predictor = load_predictor("clutter")

    def numbers(image: np.ndarray) -> dict[str, float]:
        return statistics(image, predictor.labels_and_confidence(image)[1])

    scenes = [scene(11, index, size=(SIZE, SIZE), difficulty=0.2)[0] for index in range(args.count)]
    same = [numbers(image) for image in scenes]
    kinds = {
        "dark": [numbers(image // 4) for image in scenes[:SHIFTED]],
        "blurred": [numbers(cv2.GaussianBlur(image, (0, 0), 3)) for image in scenes[:SHIFTED]],
    }
    if args.photographs:
        kinds["photographs"] = [numbers(image) for image in photographs(args.photographs, SHIFTED, SIZE)]
    rows = []
    rng = np.random.default_rng(0)
    for count in CALIBRATION:
        found: dict[str, list[float]] = {"same kind": [], **{kind: [] for kind in kinds}}
        for _ in range(REPEATS):
            order = rng.permutation(len(same))
            ranges = ranges_of(same[index] for index in order[:count])
            of_kind = {"same kind": [same[index] for index in order[count:]], **kinds}
            for kind, images in of_kind.items():
                found[kind].append(float(np.mean([bool(are_outside(each, ranges)) for each in images])))
        for kind, shares in found.items():
            rows.append(dict(zip(COLUMNS, (kind, str(count), f"{100 * np.mean(shares):.1f}"), strict=True)))
            print(rows[-1], flush=True)
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--photographs", metavar="DIR", type=Path, help="folder of photographs")
    parser.add_argument("--count", metavar="N", type=int, default=300, help="scenes (default: %(default)s)")
    args = parser.parse_args(argv)
    write_csv(RESULTS / f"likeness-{args.count}.csv", COLUMNS, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
