"""`fanet calibrate`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanet.cli.arguments import (
    add_import_argument,
    add_window_arguments,
    example,
    named,
    positive,
    real,
    window_of,
)
from fanet.cli.data import add_dataset_arguments, add_scene_arguments, dataset_options, scene_options
from fanet.cli.printing import print_line
from fanet.errors import UserError, counted, printable_line

if TYPE_CHECKING:
    from fanet.segmentation.data import SegmentationDataset
    from fanet.segmentation.evaluation.purity.calibrate import ClassPurity
    from fanet.segmentation.prediction.thresholds import PurityThresholds

_PURITY = _CONFIDENCE = 0.95  # not defaults of the parser: beside --check it must be known whether they are given


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "calibrate",
        help="find thresholds under which what is called a class is it",
        description="Finds for each class the lowest probability from which on at least the stated share of what is "
        "called the class is it: with 95 % confidence over the draw of the calibration images, for all classes "
        "together. They are stored in the model's config.json; `fanet predict` then labels what falls below as "
        "ignored. The images must be labelled, unseen by training, and like those that will come; some hundreds are "
        "needed.",
        epilog=example(
            "fanet calibrate runs/mine/best --dataset folder --data my_photos --split val --purity 0.95",
            "fanet calibrate clutter --dataset clutter --split val --count 500 --purity 0.9 -o calibrated",
            "fanet calibrate calibrated --dataset clutter --split test --check",
        ),
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="segmentation model: folder, which is changed in place without -o; checkpoint, Hub id, or name of a model "
        "inside the package",
    )
    add_dataset_arguments(parser)
    parser.add_argument("--data", metavar="DIR", help="where the data set is; without it, clutter is drawn on the fly")
    parser.add_argument("--split", metavar="S", default="val", help="part of the data set (default: %(default)s)")
    parser.add_argument("--purity", metavar="P", type=real, help=f"share to promise, 0 to 1 (default: {_PURITY})")
    parser.add_argument(
        "--confidence",
        metavar="P",
        type=real,
        help=f"how often the promise holds, over the draw of the images (default: {_CONFIDENCE})",
    )
    parser.add_argument(
        "--groups",
        metavar="G",
        type=named,
        help="draw recordings, not images, as frames of one are alike: 'names', by folders, dates and running numbers "
        "in the names of the images, or a CSV file with the columns name and group",
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=named, help="write a copy with thresholds to this folder")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; print how pure the classes of a model with thresholds are on these images",
    )
    add_window_arguments(parser)
    parser.add_argument(
        "--workers", metavar="N", type=positive, default=2, help="threads that read ahead (default: %(default)s)"
    )
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if there is one)"
    )
    add_scene_arguments(parser)
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Find thresholds, store them, and print how the classes do; or check those of a model."""
    from dataclasses import replace

    from fanet.segmentation.data import open_dataset
    from fanet.segmentation.evaluation.purity.calibrate import calibrate, check
    from fanet.segmentation.evaluation.purity.recordings import read_groups
    from fanet.segmentation.network.shipped import load_model
    from fanet.segmentation.network.thresholds_file import check_target, write_thresholds
    from fanet.segmentation.processes import find_device

    window, overlap = window_of(args)
    device = find_device(args.device)
    if args.check and args.output:
        raise UserError("--check writes nothing: leave -o out")
    for option, value in (("--purity", args.purity), ("--confidence", args.confidence)):
        if args.check and value is not None:
            raise UserError(f"--check is of the thresholds that the model has: leave {option} out")
    purity = _PURITY if args.purity is None else args.purity
    confidence = _CONFIDENCE if args.confidence is None else args.confidence
    if not args.check:
        check_target(args.model, args.output)
    options = dataset_options(args) | scene_options(args)
    dataset = open_dataset(args.dataset, args.data, args.split, **options)
    groups = None if args.groups is None else read_groups(dataset, args.groups)
    for note in [*_doubts(args, dataset), *dataset.remarks()]:
        print(f"note: {printable_line(note)}", file=sys.stderr)
    model = load_model(args.model).to(device)
    predictor = model.predictor(window, overlap)
    if args.check:
        rows = check(predictor, dataset, groups, args.workers)
        assert predictor.thresholds is not None, "checked above"
        _print(rows, predictor.thresholds, counted(len(dataset), "image"))
        return 0
    found = calibrate(predictor, dataset, purity, confidence, groups, args.workers)
    where = {"dataset": args.dataset, "split": args.split}
    thresholds = replace(found.thresholds, origin=where | dict(found.thresholds.origin))
    _print(found.classes, thresholds, _drawn(thresholds))
    for line in found.notes:
        print(f"note: {printable_line(line)}", file=sys.stderr)
    if all(least is None for least in thresholds.least):
        raise UserError(
            f"no class can be promised to be {100 * purity:g} % pure, so nothing is written: "
            f"use more images, or a lower --purity"
        )
    folder = write_thresholds(args.model, model, thresholds, args.output)
    print_line(_promise(thresholds, folder))
    return 0


def _doubts(args: argparse.Namespace, dataset: "SegmentationDataset") -> list[str]:
    """Return a line for whatever may break the promise: images of the training, frames of recordings."""
    doubts = []
    if _was_trained_on(args):
        doubts.append(
            f"the model was trained on {args.split}: on images that training has seen, thresholds promise nothing"
        )
    if args.groups is None and args.dataset != "clutter":
        from fanet.segmentation.evaluation.purity.recordings import groups_of_names

        count = len(set(groups_of_names(dataset.names)))
        if 1 < count <= len(dataset) / 2:
            doubts.append(
                f"by their names the images are from {count} recordings, and frames of one are alike: "
                "--groups names draws recordings"
            )
    return doubts


def _was_trained_on(args: argparse.Namespace) -> bool:
    """Return whether the recipe of the model's training run names this split."""
    from fanet.segmentation.data.documents import read_yaml
    from fanet.segmentation.training.run_folder import RECIPE

    recipe = Path(args.model).parent / RECIPE
    if not recipe.is_file():
        return False
    try:
        data = read_yaml(recipe)["data"]
        same_place = str(data["root"]) == str(args.data) or (
            data["root"] is not None
            and args.data is not None
            and Path(data["root"]).resolve() == Path(args.data).resolve()
        )
        return bool(data["dataset"] == args.dataset and data["train_split"] == args.split and same_place)
    except (UserError, KeyError, TypeError):
        return False  # a file of that name that is no recipe of a run


def _print(rows: Sequence["ClassPurity"], thresholds: "PurityThresholds", on: str) -> None:
    width = max(len("class"), *(len(row.name) for row in rows))
    print_line(f"{'class':<{width}}  {'threshold':>9}  {'purity':>8}  {'above it':>8}  {'kept':>8}   on {on}")
    for row in rows:
        least = "never" if row.threshold is None else "none" if row.threshold == 0 else f"{row.threshold:.4f}"
        print_line(
            f"{row.name:<{width}}  {least:>9}  {_percent(row.before)}  {_percent(row.after)}  {_percent(row.coverage)}"
        )


def _percent(value: float | None) -> str:
    return f"{'-':>8}" if value is None else f"{100 * value:>6.2f} %"


def _drawn(thresholds: "PurityThresholds") -> str:
    origin: Any = thresholds.origin
    images = counted(origin["images"], "image")
    return images if origin["unit"] == "image" else f"{images} of {counted(origin['units'], origin['unit'])}"


def _promise(thresholds: "PurityThresholds", folder: Path) -> str:
    never = sum(least is None for least in thresholds.least)
    others = f", and {never} of {len(thresholds.least)} classes will be ignored" if never else ""
    return (
        f"with {100 * thresholds.confidence:g} % confidence, at least {100 * thresholds.purity:g} % of what is called "
        f"a class is it{others}: thresholds in {printable_line(folder)}"
    )
