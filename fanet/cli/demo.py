"""`fanet demo`."""

import argparse

from fanet.cli.arguments import example, named


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="segment the scene inside the package with the model inside it",
        description="Segments the scene inside the package with the trained model inside it, without a network, "
        "draws image, truth and prediction side by side, and prints the scores.",
        epilog=example("fanet demo -o fanet_demo"),
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=named,
        default="fanet_demo",
        help="folder for demo.png (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and print its scores."""
    from fanet.demo import percent, run_demo

    result = run_demo(args.output)
    rows = [*result["iou"].items(), ("mIoU", result["miou"]), ("pixel accuracy", result["pixel_accuracy"])]
    width = max(len(name) for name, _ in rows)
    print("IoU by class")
    for name, value in rows:
        print(f"{name:<{width}}  {percent(value):>7}")
    print(f"predicted in {result['seconds']:.2f} s, image in {result['picture']}")
    return 0
