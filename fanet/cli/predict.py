"""`fanet predict`."""

import argparse

from fanet.cli.arguments import example, positive, real
from fanet.errors import UserError

DEFAULT_OVERLAP = 0.25


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Declares the subcommand."""
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
        "--model", metavar="M", help="folder, checkpoint file or Hub id (default: the trained model inside the package)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    parser.add_argument(
        "--window",
        metavar=("H", "W"),
        nargs=2,
        type=positive,
        help="slide a window of this height and width over the picture, for frames that do not fit into memory",
    )
    parser.add_argument(
        "--overlap",
        metavar="P",
        type=real,
        help=f"share of a window that it has in common with the next one, 0 to 0.9 (default: {DEFAULT_OVERLAP})",
    )
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU where there is one)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predicts all files and says where the results are."""
    from fanet.segmentation import load_model
    from fanet.segmentation.prediction.files import collect_inputs, is_video, predict_files
    from fanet.segmentation.prediction.windows import check_window
    from fanet.segmentation.processes import find_device

    if args.overlap is not None and args.window is None:
        raise UserError("--overlap is that of windows: give --window H W too")
    overlap = DEFAULT_OVERLAP if args.overlap is None else args.overlap
    # all this before the model: a mistyped argument should not have to wait for it
    if args.window is not None:
        check_window(args.window, overlap)
    device = find_device(args.device)
    inputs = collect_inputs(args.inputs)
    model = load_model(args.model).to(device)
    done = predict_files(model, inputs, args.output, args.window and tuple(args.window), overlap)
    videos = sum(is_video(files.source) for files in done)
    counts = [_counted(len(done) - videos, "image"), _counted(videos, "video")]
    print(f"{' and '.join(filter(None, counts))} segmented: labels and overlays in {args.output}")
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}" if count else ""
