"""`fanet predict`."""

import argparse

from fanet.cli.arguments import add_import_argument, add_window_arguments, example, window_of


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="segment images and videos",
        description="Segments images and videos. For every image NAME.* it writes NAME_labels.png (class indices, 8 "
        "bits, one channel) and NAME_overlay.png; for every video NAME_labels.mkv (the same, lossless) and "
        "NAME_overlay.mp4.",
        epilog=example(
            "fanet predict belt.jpg -o out",
            'fanet predict photos "scans/*.tif" belt.mp4 --model my_model -o out',
            "fanet predict map.tif --window 1024 1024 --overlap 0.25 -o out",
        ),
    )
    parser.add_argument(
        "inputs",
        metavar="IMAGE",
        nargs="+",
        help='image or video file, folder of such files, or quoted glob pattern such as "photos/**/*.jpg"',
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="name of a model inside the package, folder, checkpoint file or Hub id (default: clutter, inside)",
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    add_window_arguments(parser)
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if there is one)"
    )
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict all files and print where the results are."""
    from fanet.segmentation.network.shipped import load_predictor
    from fanet.segmentation.prediction.predict_files import collect_inputs, is_video, predict_files
    from fanet.segmentation.processes import find_device

    # before the model, so that a mistyped argument fails at once
    window, overlap = window_of(args)
    device = find_device(args.device)
    inputs = collect_inputs(args.inputs)
    predictor = load_predictor(args.model, device, window, overlap)
    done = predict_files(predictor, inputs, args.output)
    videos = sum(is_video(files.source) for files in done)
    counts = [_counted(len(done) - videos, "image"), _counted(videos, "video")]
    print(f"{' and '.join(filter(None, counts))} segmented: labels and overlays in {args.output}")
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}" if count else ""
