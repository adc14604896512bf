"""`fanet data`."""

import argparse

from fanet.cli.arguments import example, not_negative, positive, share


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand and its own subcommands."""
    parser = subparsers.add_parser(
        "data",
        help="make data sets",
        description="Makes data sets.",
        epilog=example("fanet data clutter scenes --count 100 --seed 0 --size 256 256"),
    )
    _add_clutter(parser.add_subparsers(metavar="COMMAND", required=True, dest="data_command"))


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
    parser.add_argument("--split", metavar="NAME", default="test", help="train, val or test (default: %(default)s)")
    parser.set_defaults(run=run_clutter)


def run_clutter(args: argparse.Namespace) -> int:
    """Writes the scenes and says where."""
    from fanet.segmentation.data.clutter import write_clutter

    folder = write_clutter(args.out, args.count, args.seed, args.size, difficulty=args.difficulty, split=args.split)
    print(f"{args.count} scene{'s' if args.count != 1 else ''} of {args.size[0]}x{args.size[1]} pixels in {folder}")
    return 0
