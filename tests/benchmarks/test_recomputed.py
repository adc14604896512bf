"""Published scores, computed again by nothing but NumPy from label maps on the disk."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.cli import main
from fanet.scenes import Causes
from fanet.segmentation.data.clutter import ClutterScenes

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "clutterbench-clutter-test100-256x256.csv"
POINTS = [("object_size", "0.06"), ("occlusion", "0.4"), ("border_distance", "0.22")]


def iou(truth: list[np.ndarray], predicted: list[np.ndarray], label: int) -> float:
    """Intersection over union of a class over all images together, in %; 255 in the truth is left out."""
    pairs = [(true == label, found == label, true != 255) for true, found in zip(truth, predicted, strict=True)]
    intersection = sum(int((true & found & known).sum()) for true, found, known in pairs)
    union = sum(int(((true | found) & known).sum()) for true, found, known in pairs)
    return 100 * intersection / union


@pytest.mark.slow
@pytest.mark.parametrize(("axis", "value"), POINTS)
def test_row_of_clutterbench_follows_from_the_label_maps(axis: str, value: str, tmp_path: Path) -> None:
    with RESULTS.open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if (row["axis"], row["value"]) == (axis, value))
    width, height = map(int, row["size"].split("x"))
    causes = Causes.of({axis: float(value)})
    scenes = ClutterScenes("test", int(row["scenes"]), int(row["seed"]), (height, width), causes=causes)
    (tmp_path / "scenes").mkdir()
    truth = []
    for sample in (scenes[index] for index in range(len(scenes))):
        Image.fromarray(sample.image).save(tmp_path / "scenes" / f"{len(truth):03}.png")
        truth.append(np.asarray(sample.labels))
    assert main(["predict", str(tmp_path / "scenes"), "-o", str(tmp_path / "out"), "--overwrite"]) == 0
    predicted = [np.array(Image.open(path)) for path in sorted((tmp_path / "out").glob("*_labels.png"))]
    scores = {name: iou(truth, predicted, label) for label, name in enumerate(scenes.classes.names)}
    # another processor moves a logit by 1e-6, and so a pixel in a hundred thousand to another class
    for name, score in scores.items():
        assert score == pytest.approx(float(row[f"iou_{name}_percent"]), abs=0.02)
    assert np.mean(list(scores.values())) == pytest.approx(float(row["miou_percent"]), abs=0.02)
