"""`fanet predict`."""

import argparse

from fanet.cli.arguments import example


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="segment images",
        description="Segments images. For every image NAME.* it writes NAME_labels.png (class indices, 8 bits, one "
        "channel) and NAME_overlay.png.",
        epilog=example(
            "fanet predict belt.jpg -o out",
            'fanet predict photos "scans/*.tif" --model my_model -o out',
        ),
    )
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="image file, folder of images, or quoted glob pattern"
    )
    parser.add_argument(
        "--model", metavar="M", help="folder, checkpoint file or Hub id (default: the trained model inside the package)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predicts all images and says where the results are."""
    from fanet.segmentation import load_model
    from fanet.segmentation.engine.predict import collect_images, predict_files

    images = collect_images(args.images)  # before the model: a mistyped name should not have to wait for it
    done = predict_files(load_model(args.model), images, args.output)
    print(f"{len(done)} image{'s' if len(done) != 1 else ''} segmented: labels and overlays in {args.output}")
    return 0
