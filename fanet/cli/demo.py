"""`fanet demo`."""

import argparse
import sys

from fanet.cli.arguments import add_import_argument, example, named, positive
from fanet.cli.printing import print_line
from fanet.errors import UserError, printable_line
from fanet.interrupts import INTERRUPTED, end_at_once

_OUTPUT = "fanet_demo"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="segment the scene inside the package with the model inside it, or serve a page to try models on",
        description="Segments the scene inside the package with the trained model inside it, without a network, "
        "draws image, truth and prediction side by side, and prints the scores. With --web serves a page on this "
        "machine instead, to try the models inside the package, or your own, on your images and on generated scenes.",
        epilog=example(
            "fanet demo -o fanet_demo",
            "fanet demo --web",
            "fanet demo --web --model runs/my_photos/best --port 8000",
        ),
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=named,
        help=f"folder for demo.png (default: {_OUTPUT}); with --web for uploads and results, which are kept there "
        "(default: a temporary folder, removed at the end)",
    )
    parser.add_argument("--web", action="store_true", help="serve a page at 127.0.0.1 until Ctrl-C")
    parser.add_argument(
        "--model",
        metavar="M",
        type=named,
        action="append",
        default=[],
        help="with --web: a folder, checkpoint, exported file or Hub id that can be chosen, too; may be given several "
        "times, the first is chosen at the start",
    )
    parser.add_argument("--port", metavar="N", type=positive, help="with --web: port (default: a free one from 7860)")
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demonstration and print its scores, or serve the page."""
    if args.web:
        from fanet.web.serving import serve

        try:
            serve(args.model, args.port, args.output, _announce)
        except KeyboardInterrupt:  # the second one, while the page is closed
            print("fanet: interrupted", file=sys.stderr)
            end_at_once(INTERRUPTED)
        end_at_once()  # the page may be segmenting an image
    for option, value in (("--model", args.model), ("--port", args.port)):
        if value:
            raise UserError(f"{option} is for the page: give --web too, or use fanet predict")
    return _draw(args.output or _OUTPUT)


def _announce(address: str) -> None:
    print_line(f"open {printable_line(address)} in a browser; Ctrl-C ends it")
    sys.stdout.flush()  # also into a pipe, as the command goes on


def _draw(output: str) -> int:
    from fanet.demo import percent, run_demo

    result = run_demo(output)
    rows = [*result["iou"].items(), ("mIoU", result["miou"]), ("pixel accuracy", result["pixel_accuracy"])]
    width = max(len(name) for name, _ in rows)
    print("IoU by class")
    for name, value in rows:
        print(f"{name:<{width}}  {percent(value):>7}")
    print(f"predicted in {result['seconds']:.2f} s, image in {result['picture']}")
    return 0
