"""`fanet models`."""

import argparse
import csv
import sys
from collections.abc import Sequence

from fanet.cli.arguments import example

COLUMNS = ("model", "depths", "dims", "params_m", "gmacs_224", "gmacs_512", "weights")
HEADINGS = ("model", "depths", "dims", "params (M)", "GMACs 224", "GMACs 512", "weights")
NUMBERS = range(3, 6)  # right-aligned columns


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "models",
        help="list the variants of FANet",
        description="Lists the variants of FANet with what they cost: millions of parameters with a classifier for "
        "1000 classes, and billions of multiply-accumulates (1 MAC = 2 FLOPs) for one image of 224x224 and of "
        "512x512, in convolutions, linear layers and matrix products. Both are counted, not looked up.",
        epilog=example("fanet models", "fanet models --csv"),
    )
    parser.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    rows = _rows(none="" if args.csv else "—")
    if args.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([COLUMNS, *rows])
    else:
        print("\n".join(_aligned([HEADINGS, *rows])))
    return 0


def _rows(none: str) -> list[list[str]]:
    """Return a row of text for every variant; `none` is shown for missing weights."""
    from fanet.backbone.complexity import variants

    return [
        [
            variant.name,
            "-".join(map(str, variant.depths)),
            "-".join(map(str, variant.dims)),
            f"{variant.params / 1e6:.2f}",
            *(f"{macs / 1e9:.2f}" for macs in variant.macs),
            variant.weights or none,
        ]
        for variant in variants()
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i in NUMBERS else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
