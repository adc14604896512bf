"""`fanet predict`."""

import argparse

from fanet.cli.arguments import (
    add_engine_arguments,
    add_import_argument,
    add_window_arguments,
    example,
    named,
    window_of,
)
from fanet.cli.printing import print_line


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "predict",
        help="segment images and videos",
        description="Segments images and videos. For every image NAME.* it writes NAME_labels.png (class indices, 8 "
        "bits, with the colours of the classes as palette) and NAME_overlay.png with a legend, for every page or frame "
        "of one NAME_page1_labels.png and so on; for every video NAME_labels.mkv (class indices as grey, lossless) and "
        "NAME_overlay.mp4. Results of a pattern keep the folders below its fixed part.",
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
        help="name of a model inside the package, folder, checkpoint, ONNX file or Hub id (default: clutter, inside)",
    )
    parser.add_argument("-o", "--output", metavar="DIR", type=named, required=True, help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace results of an earlier run")
    parser.add_argument(
        "--no-legend",
        action="store_false",
        dest="legend",
        help="leave out the legend below overlays, and keep their size",
    )
    add_window_arguments(parser)
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if there is one)"
    )
    add_engine_arguments(parser)
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict all files and print where the results are, and what was left out."""
    from fanet.errors import UserError, counted, printable_line
    from fanet.segmentation.network.shipped import DEFAULT, load_predictor, trained_on
    from fanet.segmentation.prediction.inputs import collect_inputs
    from fanet.segmentation.prediction.plan import plan_predictions
    from fanet.segmentation.prediction.predict_files import predict_planned, summary
    from fanet.segmentation.processes import find_device

    # before the model, so that a mistyped argument fails at once
    window, overlap = window_of(args)
    device = find_device(args.device)
    inputs = collect_inputs(args.inputs)
    predictor = load_predictor(args.model, device, window, overlap, engine=args.engine, precision=args.precision)
    planned = plan_predictions(inputs.files, args.output, args.overwrite, predictor.channels)
    done, failures = predict_planned(predictor, planned, args.legend)
    videos = sum(files.is_video for files in done)
    counts = [counted(count, noun) for count, noun in ((len(done) - videos, "image"), (videos, "video")) if count]
    segmented = (
        f"{' and '.join(counts)} segmented: labels and overlays in {printable_line(args.output)}" if done else ""
    )
    failed = summary(failures, len(planned)) if failures else ""
    line = "; ".join(filter(None, [failed, segmented, inputs.summary()]))
    if failures:
        raise UserError(line)
    print_line(line)
    if args.model is None:
        print_line(f"model: {DEFAULT}, trained on {trained_on(DEFAULT)} (--model takes another)")
    return 0
