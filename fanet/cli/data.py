"""`fanet data`."""

import argparse
import json
import math
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from fanet.cli.arguments import example, not_negative, positive, real, share
from fanet.errors import UserError, printable
from fanet.segmentation.data import KINDS

if TYPE_CHECKING:
    from fanet.segmentation.data.check import SplitReport

_STDOUT = "-"  # as a file name
# What is shown of a split one by one, so that a report fits on a screen.
_MOST_SIZES = 3
_MOST_CLASSES = 12
_FREQUENT_CLASSES = 8
_SUSPECTS_NAMED = 5


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand and its own subcommands."""
    parser = subparsers.add_parser(
        "data",
        help="check, convert and create data sets, find wrong labels",
        description="Checks data sets, converts them, finds labels that may be wrong, and writes generated scenes.",
        epilog=example(
            "fanet data check zerowaste-f-final.zip --dataset zerowaste",
            "fanet data clutter scenes --count 100 --seed 0 --size 256 256",
        ),
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="data_command")
    _add_check(commands)
    _add_convert(commands)
    _add_clutter(commands)
    _add_suspects(commands)


def add_dataset_arguments(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the options that select a data set; `dataset_options` reads them. The kind is required without a default."""
    shown = f"kind: {', '.join(KINDS)}" + (f" (default: {default})" if default else "")
    parser.add_argument("--dataset", metavar="D", choices=KINDS, required=default is None, default=default, help=shown)
    parser.add_argument(
        "--any-archive", action="store_true", help="zerowaste: accept a zip archive other than the published one"
    )


def add_scene_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of generated scenes that are drawn on the fly; `scene_options` reads them."""
    scenes = parser.add_argument_group("scenes drawn on the fly, for --dataset clutter without --data")
    scenes.add_argument("--count", metavar="N", type=positive, help="number of scenes (default: 500)")
    scenes.add_argument("--seed", metavar="S", type=not_negative, help="which scenes (default: the split's own)")
    scenes.add_argument("--size", metavar=("H", "W"), type=positive, nargs=2, help="pixels (default: 256 256)")
    scenes.add_argument("--difficulty", metavar="D", type=share, help="from 0, easy, to 1 (default: 0.2)")


def dataset_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options for `open_dataset`."""
    return {"verify": not args.any_archive} if args.dataset == "zerowaste" else {}


def scene_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the further options for `open_dataset` that were given for generated scenes."""
    scenes = {key: getattr(args, key) for key in ("count", "seed", "size", "difficulty")}
    return {key: value for key, value in scenes.items() if value is not None}


def _add_check(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "check",
        help="verify a data set",
        description="Reads every image and mask of a data set, in parallel, and reports sizes, class shares, missing "
        "pairs, broken files, unknown labels, and names and images that occur in several splits. The exit status is "
        "2 if the data set cannot be used as it is, with one line on standard error for each kind of problem.",
        epilog=example(
            "fanet data check zerowaste-f-final.zip --dataset zerowaste",
            "fanet data check my_photos --dataset folder --split train --json report.json",
        ),
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the data set, or ZeroWaste-f's archive")
    add_dataset_arguments(parser)
    parser.add_argument("--split", metavar="S", nargs="+", dest="splits", help="splits to check (default: all)")
    parser.add_argument("--workers", metavar="N", type=positive, help="processes (default: one per core)")
    parser.add_argument("--json", metavar="FILE", help="also write the whole report to this file; - prints it instead")
    parser.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> int:
    """Check a data set and print the report; the exit status says whether it can be used."""
    from fanet.files import atomic_path
    from fanet.segmentation.data.check import check_dataset

    # The file is opened first, so that a path that cannot be written fails before everything is read.
    to_file = args.json is not None and args.json != _STDOUT
    with atomic_path(args.json) if to_file else nullcontext() as path:
        report = check_dataset(args.dataset, args.folder, args.splits, args.workers, **dataset_options(args))
        text = json.dumps(report.to_dict(), indent=1) + "\n"
        if path is not None:
            path.write_text(text, encoding="utf-8")
    if args.json == _STDOUT:
        print(text, end="")
    else:
        lines = [line for split, part in report.splits.items() for line in _split_lines(split, part)]
        lines += [f"warning: {line}" for line in report.warnings]
        print(printable("\n".join(lines)))
    for line in report.errors:
        print(f"fanet: error: {printable(line)}", file=sys.stderr)
    if args.json != _STDOUT:
        print("the data set cannot be used as it is" if report.errors else "the data set can be used")
    return 2 if report.errors else 0


def _split_lines(split: str, part: "SplitReport") -> list[str]:
    sizes = _sizes(part.sizes)
    lines = [f"{split}: {part.images} images ({sizes})" if sizes else f"{split}: {part.images} images"]
    shares = part.class_shares
    if len(shares) > _MOST_CLASSES:
        present = sorted((name for name in shares if shares[name]), key=lambda name: shares[name] or 0, reverse=True)
        shown, others = present[:_FREQUENT_CLASSES], present[_FREQUENT_CLASSES:]
    else:
        shown, others = list(shares), []
    width = max(map(len, shown), default=0)
    for name in shown:
        pixels = "-" if shares[name] is None else f"{shares[name]:.2f} %"
        lines.append(f"  {name:<{width}}  {pixels:>8} of the pixels, in {part.images_with_class[name]} images")
    if others:
        together = sum(shares[name] or 0 for name in others)
        count = "1 other class has" if len(others) == 1 else f"{len(others)} other classes have"
        lines.append(f"  {count} {together:.2f} % of the pixels, {others[-1]} the fewest")
    if part.ignored_share:
        lines.append(f"  {part.ignored_share:.2f} % of all pixels are ignored")
    return lines


def _sizes(sizes: dict[str, int]) -> str:
    """Describe the sizes of a split's images, most frequent first; a few of them one by one."""
    if len(sizes) <= _MOST_SIZES:
        return ", ".join(f"{count} of {size}" for size, count in sizes.items())
    by_area = sorted(sizes, key=lambda size: math.prod(map(int, size.split("x"))))
    most = next(iter(sizes))
    return f"{len(sizes)} sizes from {by_area[0]} to {by_area[-1]}, {sizes[most]} of {most}"


def _add_convert(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="write a data set as images and masks",
        description="Writes any data set that can be read, whatever the form of its labels, as images and masks of "
        "class indices with a palette, described by a dataset.yaml. Images are copied unchanged.",
        epilog=example("fanet data convert my_annotations my_masks", "fanet data convert my_photos out --split train"),
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the data set, or ZeroWaste-f's archive")
    parser.add_argument("out", metavar="OUT", help="new folder for the result")
    add_dataset_arguments(parser, default="folder")
    parser.add_argument("--split", metavar="S", nargs="+", dest="splits", help="splits to write (default: all)")
    parser.add_argument("--workers", metavar="N", type=positive, help="processes (default: one per core)")
    parser.set_defaults(run=run_convert)


def run_convert(args: argparse.Namespace) -> int:
    """Convert a data set, and print what was left out and what was written."""
    from fanet.segmentation.data.convert import convert_dataset

    options = dataset_options(args)
    report = convert_dataset(args.dataset, args.folder, args.out, args.splits, args.workers, **options)
    for line in report.notes:
        print(f"note: {line}")
    counts = ", ".join(f"{count} in {split}" for split, count in report.images.items())
    print(f"{sum(report.images.values())} images with masks ({counts}) in {report.root}")
    return 0


def _add_clutter(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "clutter",
        help="write generated scenes",
        description="Writes generated scenes of cluttered waste in the folder layout of ZeroWaste-f. The same "
        "arguments give the same pixels everywhere.",
        epilog=example("fanet data clutter scenes --count 100 --seed 0 --size 256 256 --split train"),
    )
    parser.add_argument("out", metavar="OUT", help="folder of the data set")
    parser.add_argument("--count", metavar="N", type=positive, required=True, help="number of scenes")
    parser.add_argument("--seed", metavar="S", type=not_negative, required=True, help="which scenes, 0 or above")
    parser.add_argument(
        "--size", metavar=("H", "W"), type=positive, nargs=2, required=True, help="height and width in pixels"
    )
    parser.add_argument(
        "--difficulty", metavar="D", type=share, default=0.2, help="from 0, easy, to 1 (default: %(default)s)"
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        default="test",
        help="folder name of the split; train, val and test in ZeroWaste-f (default: %(default)s)",
    )
    parser.set_defaults(run=run_clutter)


def run_clutter(args: argparse.Namespace) -> int:
    """Write the scenes and print where they are."""
    from fanet.segmentation.data.clutter import write_clutter

    folder = write_clutter(args.out, args.count, args.seed, args.size, difficulty=args.difficulty, split=args.split)
    print(f"{args.count} scene{'s' if args.count != 1 else ''} of {args.size[0]}x{args.size[1]} pixels in {folder}")
    return 0


def _add_suspects(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "suspects",
        help="find labels that may be wrong",
        description="Ranks the images of a data set by how much models that were trained without them contradict their "
        "labels. Trains a small model for each part of the images on all other parts. Writes suspects.csv, all images, "
        "the most suspicious first, and suspects.html, a page with the first of them. If it is interrupted, the same "
        "command continues.",
        epilog=example("fanet data suspects my_photos -o suspects --minutes 20"),
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the data set, or ZeroWaste-f's archive")
    add_dataset_arguments(parser, default="folder")
    parser.add_argument("--split", metavar="S", nargs="+", dest="splits", help="splits to look at (default: all)")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder for results and models")
    parser.add_argument(
        "--folds", metavar="N", type=positive, default=3, help="parts, each of which a model is trained without"
    )
    parser.add_argument(
        "--minutes", metavar="M", type=real, default=10.0, help="about how long it takes (default: %(default)s)"
    )
    parser.set_defaults(run=run_suspects)


def run_suspects(args: argparse.Namespace) -> int:
    """Rank the images, and print the first of them and where the others are."""
    from fanet.segmentation.training.suspects import PAGE, find_suspects

    if args.folds < 2:
        raise UserError(f"--folds must be 2 or more, got {args.folds}: one part leaves nothing to train on")
    if not 0 < args.minutes < math.inf:
        raise UserError(f"--minutes must be a number above 0, got {args.minutes}")
    options = dataset_options(args)
    ranked = find_suspects(args.dataset, args.folder, args.output, args.splits, args.folds, args.minutes, **options)
    for suspect in ranked[:_SUSPECTS_NAMED]:
        print(printable(f"{suspect.split}/{suspect.image}: mIoU {suspect.miou:.1f} %"))
    print(f"{len(ranked)} images ranked, the first of them in {args.output}/{PAGE}")
    return 0
