"""`fanet features`."""

import argparse
from pathlib import Path

from fanet.cli.arguments import add_import_argument, example, named, positive
from fanet.cli.printing import print_line


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "features",
        help="show what the FRM sees in an image",
        description="Segments an image with a model on a FANet and draws what the feature refinement module (FRM) of "
        "one block was given, its low and high frequencies, and what it made of them: NAME_features.png, as the "
        "paper's Figure 6.",
        epilog=example(
            "fanet features photo.jpg -o out",
            "fanet features frame.png --truth frame_mask.png --model runs/my_photos/best --stage 2 -o out",
        ),
    )
    parser.add_argument("image", metavar="IMAGE", type=named, help="an image")
    parser.add_argument("-o", "--output", metavar="DIR", type=named, required=True, help="folder for the result")
    parser.add_argument(
        "--model",
        metavar="M",
        help="name of a model inside the package, folder, checkpoint or Hub id (default: clutter, inside)",
    )
    parser.add_argument("--truth", metavar="MASK", type=named, help="class indices as PNG, to draw and to score with")
    parser.add_argument(
        "--stage", metavar="S", type=positive, default=3, help="stage, 1 to 4 (default: %(default)s, as in the paper)"
    )
    parser.add_argument("--block", metavar="B", type=positive, help="block of the stage, from 1 (default: the last)")
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the features and print where they are."""
    from fanet.features import write_features
    from fanet.segmentation.network.shipped import load_model

    path = Path(args.output) / f"{Path(args.image).stem}_features.png"
    found = write_features(args.image, path, load_model(args.model), args.stage, args.block, args.truth)
    _, height, width = found.maps["F"].shape
    print_line(f"FRM of stage {args.stage}, block {found.block}, {height} x {width} positions: {path}")
    return 0
