"""`fanet benchmark`."""

import argparse

from fanet.cli.arguments import (
    add_engine_arguments,
    add_import_argument,
    example,
    named,
    not_negative,
    positive,
)
from fanet.cli.printing import print_line
from fanet.segmentation.evaluation.clutterbench.axes import AXES


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand and its own subcommands."""
    parser = subparsers.add_parser(
        "benchmark",
        help="score models along each cause of clutter",
        description="Benchmarks that need no data set.",
        epilog=example("fanet benchmark clutter --model runs/a/best runs/b/best -o out"),
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="benchmark_command")
    _add_clutter(commands)


def _add_clutter(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "clutter",
        help="ClutterBench: the score along each cause of clutter",
        description="Scores models on generated scenes in which one cause of clutter changes and nothing else does. "
        "Writes scores.csv, clutterbench.png and report.html, a page with curves, examples and scores by class. If it "
        "is interrupted, the same command continues; with other models or axes it adds them.",
        epilog=example(
            "fanet benchmark clutter -o out",
            "fanet benchmark clutter --model runs/a/best runs/b/best --scenes 200 -o out",
            "fanet benchmark clutter --model other.onnx --axes occlusion object_size -o out \\\n"
            "      --classes background rigid_plastic cardboard metal soft_plastic",
        ),
    )
    parser.add_argument(
        "--model",
        metavar="M",
        nargs="+",
        default=["clutter"],
        help="names of models inside the package, folders, checkpoints, ONNX files or Hub ids (default: clutter)",
    )
    parser.add_argument("--axes", metavar="AXIS", nargs="+", help=f"some of {', '.join(AXES)} (default: all)")
    parser.add_argument(
        "--scenes", metavar="N", type=positive, default=100, help="scenes at each point (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        metavar=("H", "W"),
        type=positive,
        nargs=2,
        default=[256, 256],
        help="height and width of a scene in pixels, at least 200 (default: 256 256)",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=not_negative,
        help="which scenes (default: those of the test split, never trained on)",
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=named, required=True, help="folder for the results")
    parser.add_argument(
        "--classes",
        metavar="NAME",
        nargs="+",
        help="names of the classes of an ONNX file that does not say them, in the order of its outputs",
    )
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if there is one)"
    )
    add_engine_arguments(parser)
    add_import_argument(parser)
    parser.set_defaults(run=run_clutter)


def run_clutter(args: argparse.Namespace) -> int:
    """Run the benchmark, and print the best and the worst score of each model along each axis."""
    from fanet.segmentation.evaluation.clutterbench.axes import axes_of
    from fanet.segmentation.evaluation.clutterbench.bench import SEED, run_clutterbench
    from fanet.segmentation.processes import find_device

    try:
        table = run_clutterbench(
            args.model,
            args.output,
            args.axes,
            args.scenes,
            (args.size[0], args.size[1]),
            SEED if args.seed is None else args.seed,
            find_device(args.device),
            args.engine,
            args.precision,
            args.classes,
        )
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("the same command continues") from interrupt
    for model in dict.fromkeys(args.model):
        print_line(f"{model}: mIoU, %")
        for axis in axes_of(args.axes):
            points = [row for row in table.curve(model, axis.name) if row["miou_percent"]]
            found = ", ".join(
                f"{axis.shown(float(row['value'])):g}: {float(row['miou_percent']):.1f}" for row in points
            )
            print_line(f"  {axis.title:<22}  {found}")
    print_line(f"results in {args.output}")
    return 0
