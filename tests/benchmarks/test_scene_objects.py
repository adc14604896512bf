import csv
from pathlib import Path

import numpy as np
import pytest
from scene_objects import COLUMNS, iou, main, matches, row_of

from fanet.classes import ClassScheme
from fanet.cli import main as fanet
from fanet.media.images import read_labels
from fanet.segmentation import find_objects, load_model
from fanet.segmentation.network.shipped import DEFAULT, FOLDER

CLASSES = ClassScheme(("background", "bottle", "can"))


def test_regions_match_if_they_have_more_than_half_of_their_area_in_common() -> None:
    true, found = np.zeros((8, 12), np.uint8), np.zeros((8, 12), np.uint8)
    true[0:4, 0:4], found[0:4, 1:5] = 1, 1  # 12 of 20 pixels
    true[6:8, 0:4], found[6:8, 3:7] = 1, 1  # 2 of 14
    true[0:4, 8:12], found[0:4, 8:12] = 1, 2  # another class
    one, other = find_objects(true, CLASSES), find_objects(found, CLASSES)
    assert iou(one[0], other[0]) == 12 / 20 and iou(one[0], other[1]) == 0
    pairs = matches(one, other)
    assert len(pairs) == 1
    row = row_of("all", one, other, pairs)
    assert tuple(row.values()) == ("all", 3, 3, 1, 40, 40, "+0.0", "0.0") and tuple(row) == COLUMNS


def test_rows_of_all_classes_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "1", "--size", "64", "--min-area", "9", "--output", str(tmp_path)]) == 0
    with open(tmp_path / "scene_objects-1x64px-difficulty0.2-min9px.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["class"] == "all"
    for key in ("true_objects", "found_objects", "matched_objects", "true_area_px"):
        assert sum(int(row[key]) for row in rows[:-1]) == int(rows[-1][key])
    assert "class all, true_objects" in capsys.readouterr().out


def test_table_of_the_scene_inside_the_package_is_close_to_its_truth(tmp_path: Path) -> None:
    smallest = 200  # a thousandth of the image: of smaller regions the model finds more than there are
    argv = ["predict", str(FOLDER / DEFAULT / "scene.png"), "--objects", "--min-area", str(smallest)]
    assert fanet([*argv, "-o", str(tmp_path)]) == 0
    with open(tmp_path / "objects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    true = find_objects(read_labels(FOLDER / DEFAULT / "scene_labels.png"), load_model().classes, min_area=smallest)
    areas = sum(int(row["area"]) for row in rows), sum(entry.area for entry in true)
    print(f"{len(rows)} objects of {areas[0]} pixels, in truth {len(true)} of {areas[1]}")
    assert abs(len(rows) - len(true)) <= 0.1 * len(true)
    assert abs(areas[0] - areas[1]) <= 0.05 * areas[1]
