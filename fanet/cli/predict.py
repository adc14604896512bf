"""`fanet predict`."""

import argparse
from typing import Any

from fanet.cli.arguments import (
    add_engine_arguments,
    add_import_argument,
    add_window_arguments,
    example,
    named,
    positive,
    real,
    window_of,
)
from fanet.cli.printing import print_line
from fanet.errors import UserError, counted, printable_line
from fanet.segmentation.prediction.extras import FORMATS, MIN_AREA, Extras
from fanet.segmentation.prediction.predictor import Predictor


class _Instead(argparse.Action):
    """An option that takes the place of a required argument, `of`."""

    def __init__(self, of: argparse.Action, **options: Any) -> None:
        super().__init__(**options)
        self._of = of

    def __call__(self, parser: object, namespace: argparse.Namespace, value: object, *_: object) -> None:
        setattr(namespace, self.dest, value)
        self._of.required = False


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
            "fanet predict photos --objects --annotations coco,labelme -o out",
            "fanet predict --live rtsp://camera/stream --shares -o out",
        ),
    )
    inputs = parser.add_argument(
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
    parser.add_argument(
        "--live",
        metavar="SOURCE",
        action=_Instead,
        of=inputs,
        help="instead of files, segment the newest frame of a live source until Ctrl-C: the index of a camera, the "
        "address of a stream (rtsp://…, http://…), the path of a pipe, or - for standard input",
    )
    parser.add_argument(
        "--no-thresholds",
        action="store_false",
        dest="thresholds",
        help="give every pixel a class, whatever thresholds `fanet calibrate` stored with the model",
    )
    _add_extras(parser)
    add_window_arguments(parser)
    parser.add_argument(
        "--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if there is one)"
    )
    add_engine_arguments(parser)
    add_import_argument(parser)
    parser.set_defaults(run=run)


def _add_extras(parser: argparse.ArgumentParser) -> None:
    """Add the options for further results; `_extras_of` reads them."""
    parser.add_argument(
        "--objects",
        action="store_true",
        help="also write NAME_objects.csv, a row for each connected region of a class (area, share, centroid, box, "
        "mean probability, outline), and objects.csv with those of all images",
    )
    parser.add_argument(
        "--annotations",
        metavar="FORMAT",
        type=lambda text: tuple(text.split(",")),
        default=(),
        help=f"also write the objects of images for label tools, as {' or '.join(FORMATS)}, or several: coco,yolo",
    )
    parser.add_argument(
        "--min-area",
        metavar="N",
        type=positive,
        help=f"leave smaller regions out of objects and annotations, in pixels (default: {MIN_AREA})",
    )
    parser.add_argument(
        "--tolerance",
        metavar="T",
        type=real,
        help="let outlines leave the edges of pixels by up to T pixels, for fewer corners (default: 0, exact)",
    )
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="also write NAME_probabilities.npz, the probability of each class at each pixel of an image",
    )
    parser.add_argument(
        "--shares",
        action="store_true",
        help="also write the share of each class in each frame of a video, NAME_shares.csv and NAME_shares.png",
    )


def _extras_of(args: argparse.Namespace) -> Extras:
    """Return what is to be written beside labels and overlays.

    Raises:
        UserError: It makes no sense, or a package that it needs is not installed.
    """
    given = {"min_area": args.min_area, "tolerance": args.tolerance}
    given = {key: value for key, value in given.items() if value is not None}
    if given and not (args.objects or args.annotations):
        option = f"--{next(iter(given)).replace('_', '-')}"
        raise UserError(f"{option} needs --objects or --annotations: give one of them too")
    return Extras(args.objects, args.probabilities, args.shares, args.annotations, **given)


def run(args: argparse.Namespace) -> int:
    """Predict all files, or a live source."""
    extras = _extras_of(args)  # before the model, as all of this, so that a mistyped argument fails at once
    if args.live is None:
        return _run_files(args, extras)
    if args.inputs:
        raise UserError(f"--live takes no files: leave {printable_line(args.inputs[0])} out")
    return _run_live(args, extras)


def _run_files(args: argparse.Namespace, extras: Extras) -> int:
    """Predict all files and print where the results are, and what was left out."""
    from fanet.segmentation.prediction.inputs import collect_inputs
    from fanet.segmentation.prediction.plan import plan_predictions, shared_results
    from fanet.segmentation.prediction.predict_files import predict_planned, summary

    window_of(args)
    inputs = collect_inputs(args.inputs)
    predictor = _predictor(args)
    planned = plan_predictions(inputs.files, args.output, args.overwrite, predictor.channels, extras)
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
    if shared := shared_results(planned):
        smallest = f" (objects of {extras.min_area} pixels or more)"
        print_line(f"of all images: {', '.join(printable_line(path) for path in shared)}{smallest}")
    _print_model(args)
    return 0


def _run_live(args: argparse.Namespace, extras: Extras) -> int:
    """Predict a live source until it ends or Ctrl-C, and print how fast that was."""
    from fanet.interrupts import stopping
    from fanet.segmentation.prediction.predict_live import latency_text, plan_live, predict_live

    planned = plan_live(args.output, args.overwrite, extras)
    predictor = _predictor(args)
    with stopping() as stop:
        report = predict_live(predictor, args.live, planned, stop, args.legend)
    latency = f"; {latency_text(report.latency)}" if report.latency else ""
    print_line(f"{counted(report.frames, 'frame')} segmented, {report.dropped} dropped{latency}")
    if report.end:
        print_line(printable_line(report.end))
    if report.frames:
        print_line(f"results: {', '.join(printable_line(path) for path in planned.results)}")
    _print_model(args)
    return 0


def _predictor(args: argparse.Namespace) -> Predictor:
    from fanet.segmentation.network.shipped import load_predictor
    from fanet.segmentation.processes import find_device

    window, overlap = window_of(args)
    device = find_device(args.device)
    return load_predictor(
        args.model,
        device,
        window,
        overlap,
        engine=args.engine,
        precision=args.precision,
        thresholds=args.thresholds,
    )


def _print_model(args: argparse.Namespace) -> None:
    from fanet.segmentation.network.shipped import DEFAULT, trained_on

    if args.model is None:
        print_line(f"model: {DEFAULT}, trained on {trained_on(DEFAULT)} (--model takes another)")
