"""`fanet compare`."""

import argparse
import json
import sys

from fanet.cli.arguments import example, named, positive
from fanet.cli.printing import print_line

_STDOUT = "-"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "compare",
        help="say which of two models is better, if that can be told",
        description="Compares two evaluations by `fanet evaluate`, or the evaluations of two sets of training runs, on "
        "the same images: the difference in mIoU and by class, with a 95 % interval over images and, if there are "
        "several, over runs, and a verdict. A and B are each the folder of an evaluation, a folder or a pattern in "
        "quotes with several below, or rows of a grid's table.",
        epilog=example(
            "fanet compare scores/fanet scores/convnext",
            "fanet compare 'runs/ablation/rows-fanet-*' 'runs/ablation/rows-scm-*'",
            "fanet compare grid-starts.csv:data=belt,labelled=all,start=scenes "
            "grid-starts.csv:data=belt,labelled=all,start=scratch",
        ),
    )
    parser.add_argument("first", metavar="A", type=named, help="evaluation or runs; TABLE.csv:AXIS=VALUE,… for rows")
    parser.add_argument("second", metavar="B", type=named, help="the same, for the other side")
    parser.add_argument("--bootstrap", metavar="N", type=positive, help="resamples (default: 5000)")
    parser.add_argument("--json", metavar="FILE", help="also write the comparison to this file; - prints it instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, and print the table and the verdict."""
    from fanet.files import atomic_path
    from fanet.segmentation.evaluation.comparison import RESAMPLES, compare

    found = compare(args.first, args.second, args.bootstrap or RESAMPLES)
    text = json.dumps(found.to_dict(), indent=1) + "\n"
    if args.json == _STDOUT:
        sys.stdout.write(text)
        return 0
    if args.json is not None:
        with atomic_path(args.json) as path:
            path.write_text(text, encoding="utf-8")
    for line in found.lines():
        print_line(line)
    return 0
