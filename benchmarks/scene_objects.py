"""Compare the objects that a model finds in generated scenes with those of the true masks.

    python benchmarks/scene_objects.py
    python benchmarks/scene_objects.py --count 20 --size 512 --difficulty 0.5 --min-area 256

The objects are those of `fanet predict --objects`: connected regions of a class. A true and a found region of one class
match if their IoU is above 0.5; each then has one partner at most. Writes
`benchmarks/results/scene_objects-<count>x<size>px-difficulty<D>-min<A>px.csv`, a row for each class and one for all:
the numbers of true, found and matched objects; the area of all true and found objects and its relative error; and the
mean relative error of the area of a matched object.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, write_csv

from fanet.scenes import scene
from fanet.segmentation import SegmentedObject, find_objects
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.extras import MIN_AREA

SEED = 7  # of the scenes: no training has seen them
COLUMNS = ("class", "true_objects", "found_objects", "matched_objects", "true_area_px", "found_area_px",
           "area_error_percent", "matched_area_error_percent")  # fmt: skip
ALL = "all"


def iou(one: SegmentedObject, other: SegmentedObject) -> float:
    """Return the intersection over union of two regions."""
    (left, top), (right, bottom) = np.maximum(one.box[:2], other.box[:2]), np.minimum(end(one), end(other))
    if right <= left or bottom <= top:
        return 0.0
    common = [
        entry.mask[top - entry.box[1] : bottom - entry.box[1], left - entry.box[0] : right - entry.box[0]]
        for entry in (one, other)
    ]
    intersection = np.count_nonzero(common[0] & common[1])
    return intersection / (one.area + other.area - intersection)


def end(entry: SegmentedObject) -> tuple[int, int]:
    """Return the right and the lower edge of a region's box."""
    return entry.box[0] + entry.box[2], entry.box[1] + entry.box[3]


def matches(
    true: Sequence[SegmentedObject], found: Sequence[SegmentedObject]
) -> list[tuple[SegmentedObject, SegmentedObject]]:
    """Return the pairs of true and found regions of one class whose IoU is above 0.5."""
    return [(one, other) for one in true for other in found if one.label == other.label and iou(one, other) > 0.5]


def row_of(
    name: str,
    true: Sequence[SegmentedObject],
    found: Sequence[SegmentedObject],
    matched: Sequence[tuple[SegmentedObject, SegmentedObject]],
) -> dict[str, object]:
    """Return the columns for objects of a class, or of all."""
    areas = [sum(entry.area for entry in entries) for entries in (true, found)]
    errors = [abs(other.area - one.area) / one.area for one, other in matched]
    error = f"{100 * (areas[1] - areas[0]) / areas[0]:+.1f}" if areas[0] else ""
    of_matched = f"{100 * np.mean(errors):.1f}" if errors else ""
    return dict(zip(COLUMNS, (name, len(true), len(found), len(matched), *areas, error, of_matched), strict=True))


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    """Compare the objects of all scenes, class by class."""
    predictor = load_predictor(args.model)
    classes = predictor.classes
    true: list[SegmentedObject] = []
    found: list[SegmentedObject] = []
    matched: list[tuple[SegmentedObject, SegmentedObject]] = []
    for index in range(args.count):
        image, labels = scene(SEED, index, size=args.size, difficulty=args.difficulty)
        of_scene = [find_objects(each, classes, min_area=args.min_area) for each in (labels, predictor.labels(image))]
        true += of_scene[0]
        found += of_scene[1]
        matched += matches(*of_scene)
    rows = []
    for name in (*classes.names, ALL):
        own = [[entry for entry in entries if name in (entry.name, ALL)] for entries in (true, found)]
        if own[0] or own[1]:
            rows.append(row_of(name, *own, [pair for pair in matched if name in (pair[0].name, ALL)]))
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", metavar="M", help="as for `fanet predict` (default: the one inside the package)")
    parser.add_argument("--count", type=int, default=100, help="scenes (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: %(default)s)")
    parser.add_argument("--difficulty", type=float, default=0.2, help="of the scenes, 0..1 (default: %(default)s)")
    parser.add_argument("--min-area", type=int, default=MIN_AREA, help="in pixels (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads (default: torch's own)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    rows = measure(args)
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    stem = f"scene_objects-{args.count}x{args.size}px-difficulty{args.difficulty:g}-min{args.min_area}px"
    write_csv(args.output / f"{stem}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
