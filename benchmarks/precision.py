"""Measure on how many pixels lower precisions give the labels of float32.

    python benchmarks/precision.py --count 50 --size 128

Writes `benchmarks/results/precision-cpu-<count>x<size>px.csv`, a row for each model and precision: the share of pixels
with float32's label, in %, over all generated scenes together and in the worst of them, and on the scene inside the
package. `autocast` leaves the weights in float32, `weights` converts the model.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from fanet.files import atomic_path, make_folder
from fanet.media.images import read_image
from fanet.scenes import scene
from fanet.segmentation import SegmentationModel, UperNet, load_model
from fanet.segmentation.network.shipped import DEFAULT, FOLDER

RESULTS = Path(__file__).parent / "results"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
COLUMNS = ("model", "precision", "all_percent", "worst_percent", "demo_percent")


def build(name: str) -> SegmentationModel:
    """Return the model inside the package, or one of the same size with random weights."""
    if name == "shipped":
        return load_model()
    torch.manual_seed(0)
    return UperNet("fanet_pico", num_classes=5, head_channels=64, aux_channels=0).eval()


def labels(name: str, how: str, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the labels (H, W) of every image (H, W, 3)."""
    kind, _, dtype = how.partition(" ")
    model = build(name)
    if kind == "weights":
        model = model.to(DTYPES[dtype])
    with torch.autocast("cpu", DTYPES.get(dtype, torch.bfloat16), enabled=kind == "autocast"):
        return [model.predict(image) for image in tqdm(images, desc=f"{name} {how}", leave=False)]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="number of scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=128, help="side of a scene in pixels (default: %(default)s)")
    args = parser.parse_args()
    scenes = [scene(7, index, size=(args.size, args.size), difficulty=0.5)[0] for index in range(args.count)]
    images = [*scenes, read_image(FOLDER / DEFAULT / "scene.png")]
    rows = []
    for name in ("shipped", "random"):
        expected = labels(name, "float32", images)
        for how in ("autocast float16", "weights float16", "autocast bfloat16", "weights bfloat16"):
            found = labels(name, how, images)
            shares = [100 * float(np.mean(a == b)) for a, b in zip(found, expected, strict=True)]
            values = (np.mean(shares[:-1]), min(shares[:-1]), shares[-1])
            rows.append(dict(zip(COLUMNS, (name, how, *(f"{value:.2f}" for value in values)), strict=True)))
            print(rows[-1], flush=True)
    with (
        atomic_path(make_folder(RESULTS) / f"precision-cpu-{args.count}x{args.size}px.csv") as path,
        path.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
