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


def test_crop_shows_an_object_of_its_material() -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    labels = np.zeros((96, 96), np.uint8)
    labels[10:50, 20:50], image[10:50, 20:50] = 3, 200
    labels[60:64, 60:64], image[60:64, 60:64] = 1, 90  # a speck
    ((material, crop),) = object_crops(image, labels, 32)
    assert material == MATERIALS[2] == "metal"
    assert crop.shape == (32, 32, 3) and crop.dtype == np.uint8
    assert np.mean(crop > 100) >= LEAST_SHARE


def test_classes_and_difficulties_are_balanced_and_splits_are_disjoint(tmp_path: Path) -> None:
    images = {}
    for split in ("train", "validation"):
        paths = list(write_crops(tmp_path, split, 1, 16).glob("*/*.png"))
        assert Counter(path.parent.name for path in paths) == dict.fromkeys(MATERIALS, len(DIFFICULTIES))
        assert Counter(path.name.split("-")[0] for path in paths) == {f"d{d}": len(MATERIALS) for d in DIFFICULTIES}
        images[split] = {Image.open(path).tobytes() for path in paths}
    assert not images["train"] & images["validation"]


def test_train_py_knows_every_key_of_the_reduced_recipe() -> None:
    assert REDUCED.keys() <= json.loads(RECORD.read_text())["arguments"].keys()


def test_second_heading_after_resuming_is_skipped(tmp_path: Path) -> None:
    assert epoch_rows(tmp_path) == []
    with (tmp_path / "summary.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEADING, [0, 1, 30, 1], HEADING, [1, 1, 40, 1]])
    assert [row["epoch"] for row in epoch_rows(tmp_path)] == ["0", "1"]


def test_epoch_is_saved_once_its_checkpoint_is_newer_than_the_summary(tmp_path: Path) -> None:
    summary, last = tmp_path / "summary.csv", tmp_path / "last.pth.tar"
    last.touch()
    with summary.open("w", newline="") as file:
        csv.writer(file).writerows([HEADING, [0, 1, 30, 1]])
    os.utime(last, ns=(0, summary.stat().st_mtime_ns - 1))
    assert not _saved(tmp_path, 1)
    os.utime(last, ns=(0, summary.stat().st_mtime_ns + 1))
    assert _saved(tmp_path, 1) and not _saved(tmp_path, 2)


def test_floor_separates_colours(tmp_path: Path) -> None:
    paths = []
    for number, material in enumerate(MATERIALS):
        (tmp_path / material).mkdir()
        paths.append(tmp_path / material / "a.png")
        Image.new("RGB", (4, 4), (60 * number, 0, 0)).save(paths[-1])
    assert hits_of_baseline(paths, paths).all()
