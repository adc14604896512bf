import csv
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
from imagenet_miniature import REDUCED, _saved, epoch_rows, hits_of_baseline
from object_crops import DIFFICULTIES, LEAST_SHARE, MATERIALS, object_crops, write_crops
from PIL import Image

RECORD = Path(__file__).parents[1] / "data" / "timm_train_arguments.json"
HEADING = ["epoch", "train_loss", "eval_top1", "lr"]


def test_a_crop_shows_another_material_or_size() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    labels = np.zeros((96, 96), np.uint8)
    labels[10:50, 20:50], image[10:50, 20:50] = 3, 200
    labels[60:64, 60:64], image[60:64, 60:64] = 1, 90  # a speck
    ((material, crop),) = object_crops(image, labels, 32)
    assert material == MATERIALS[2] == "metal"
    assert crop.shape == (32, 32, 3) and crop.dtype == np.uint8
    assert np.mean(crop > 100) >= LEAST_SHARE


def test_classes_or_difficulties_are_out_of_balance_or_the_splits_overlap(tmp_path: Path) -> None:
    pictures = {}
    for split in ("train", "validation"):
        paths = list(write_crops(tmp_path, split, 1, 16).glob("*/*.png"))
        assert Counter(path.parent.name for path in paths) == dict.fromkeys(MATERIALS, len(DIFFICULTIES))
        assert Counter(path.name.split("-")[0] for path in paths) == {f"d{d}": len(MATERIALS) for d in DIFFICULTIES}
        pictures[split] = {Image.open(path).tobytes() for path in paths}
    assert not pictures["train"] & pictures["validation"]


def test_reduced_recipe_has_a_key_that_train_py_does_not_know() -> None:
    assert REDUCED.keys() <= json.loads(RECORD.read_text())["arguments"].keys()


def test_second_heading_after_resuming_counts_as_an_epoch(tmp_path: Path) -> None:
    assert epoch_rows(tmp_path) == []
    with (tmp_path / "summary.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADING, [0, 1, 30, 1], HEADING, [1, 1, 40, 1]])
    assert [row["epoch"] for row in epoch_rows(tmp_path)] == ["0", "1"]


def test_training_is_stopped_before_its_checkpoint_is_written(tmp_path: Path) -> None:
    summary, last = tmp_path / "summary.csv", tmp_path / "last.pth.tar"
    last.touch()
    with summary.open("w", newline="") as file:
        csv.writer(file).writerows([HEADING, [0, 1, 30, 1]])
    os.utime(last, ns=(0, summary.stat().st_mtime_ns - 1))
    assert not _saved(tmp_path, 1)
    os.utime(last, ns=(0, summary.stat().st_mtime_ns + 1))
    assert _saved(tmp_path, 1) and not _saved(tmp_path, 2)


def test_baseline_tells_colours_apart(tmp_path: Path) -> None:
    paths = []
    for number, material in enumerate(MATERIALS):
        (tmp_path / material).mkdir()
        paths.append(tmp_path / material / "a.png")
        Image.new("RGB", (4, 4), (60 * number, 0, 0)).save(paths[-1])
    assert hits_of_baseline(paths, paths).all()
