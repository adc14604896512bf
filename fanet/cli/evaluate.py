"""`fanet evaluate`."""

import argparse
import sys
from typing import Any

from fanet.cli.arguments import (
    add_engine_arguments,
    add_import_argument,
    add_window_arguments,
    example,
    not_negative,
    positive,
    real,
    window_of,
)
from fanet.cli.data import add_dataset_arguments, add_scene_arguments, dataset_options, scene_options
from fanet.cli.printing import print_line
from fanet.errors import UserError, printable
from fanet.segmentation.prediction.engines import AUTO
from fanet.segmentation.prediction.predictor import LARGEST_SCALE


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "evaluate",
        help="score a segmentation model on a data set",
        description="Compares a model's predictions with the truth over one split, with one confusion matrix and the "
        "model's own preprocessing. Writes metrics.json, confusion_matrix.png, report.html, a page with the scores and "
        "the best and worst images, and per_image.npz for `fanet compare`. --by adds scores by size of the objects, "
        "distance to the border and class, and says how well probabilities are calibrated. Under torchrun the "
        "processes share the images.",
        epilog=example(
            "fanet evaluate --dataset clutter --count 100 -o out",
            "fanet evaluate --model my_model --dataset zerowaste --data zerowaste-f-final.zip --split test -o out",
            "fanet evaluate --dataset clutter --count 100 --by size,border,class -o out",
            "fanet evaluate --model my_model --dataset folder --data my_photos --scales 0.75 1.0 1.25 --flip -o out",
        ),
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="name of a model inside the package, folder, checkpoint, ONNX file or Hub id (default: clutter, inside)",
    )
    add_dataset_arguments(parser)
    parser.add_argument("--data", metavar="DIR", help="where the data set is; without it, clutter is drawn on the fly")
    parser.add_argument("--split", metavar="S", default="test", help="part of the data set (default: %(default)s)")
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the results")
    parser.add_argument(
        "--scales",
        metavar="X",
        type=_scale,
        nargs="+",
        default=[1.0],
        help=f"sizes to average over, {1 / LARGEST_SCALE} to {LARGEST_SCALE} (default: 1.0)",
    )
    add_window_arguments(parser)
    parser.add_argument("--flip", action="store_true", help="also average over the mirrored image")
    parser.add_argument(
        "--bootstrap",
        metavar="N",
        type=not_negative,
        default=1000,
        help="bootstrap resamples for the interval of the mIoU; 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--by",
        metavar="WAYS",
        type=_ways,
        default=(),
        help="further scores, with intervals: size of objects, border (bands, boundary IoU), class, calibration; "
        "several with commas; the calibration error comes with each",
    )
    parser.add_argument(
        "--object-sizes",
        metavar="SHARE",
        type=real,
        nargs="+",
        help="bounds between sizes of objects, as shares of the image's area (default: 0.00333 0.03, COCO's)",
    )
    parser.add_argument(
        "--border-bands",
        metavar="PX",
        type=real,
        nargs="+",
        help="bounds of the bands around borders, in pixels (default: 2 5 10)",
    )
    parser.add_argument(
        "--workers", metavar="N", type=positive, default=2, help="threads that read ahead (default: %(default)s)"
    )
    parser.add_argument(
        "--device",
        metavar="D",
        help="cpu, cuda, cuda:1 or mps, for a single process (default: the first GPU, if there is one)",
    )
    add_engine_arguments(parser)
    add_scene_arguments(parser)
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table, and print where the results are."""
    from fanet.segmentation.data import open_dataset
    from fanet.segmentation.evaluation.breakdown.text import breakdown_lines
    from fanet.segmentation.evaluation.evaluate import evaluate_split
    from fanet.segmentation.network.shipped import DEFAULT, load_predictor
    from fanet.segmentation.processes import find_device, is_main_process, process_count

    # before data and model, so that a mistyped argument fails at once
    device = find_device(args.device)
    window, overlap = window_of(args)
    bounds = {key: getattr(args, key) for key in ("object_sizes", "border_bands")}
    if args.engine == AUTO and process_count() > 1:
        raise UserError("each process would choose an engine of its own: name one instead of auto")
    options = dataset_options(args) | scene_options(args)
    dataset = open_dataset(args.dataset, args.data, args.split, **options)
    result = evaluate_split(
        load_predictor(args.model, device, window, overlap, args.scales, args.flip, args.engine, args.precision),
        dataset,
        args.output,
        resamples=args.bootstrap,
        workers=args.workers,
        description={
            "model": args.model or DEFAULT,
            "dataset": args.dataset,
            "data": args.data,
            "split": args.split,
            "engine": args.engine,
            "precision": args.precision,
            "options": {key: value for key, value in options.items() if key != "verify"},
        },
        by=args.by,
        **{key: value for key, value in bounds.items() if value is not None},
    )
    if is_main_process():
        for line in result["notes"]:
            print(f"note: {printable(line)}", file=sys.stderr)
        print("\n".join(_table(result)))
        for line in breakdown_lines(result):
            print_line(line)
        print(f"{result['images']} images, results in {args.output}")
    return 0


def _table(result: dict[str, Any]) -> list[str]:
    without = result["miou_no_background"]
    rows = [
        *result["iou"].items(),
        ("mIoU", result["miou"]),
        *([] if without is None else [("mIoU without background", without)]),
        ("mean accuracy", result["mean_accuracy"]),
        ("pixel accuracy", result["pixel_accuracy"]),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {'-' if value is None else f'{value:.2f} %':>8}" for name, value in rows]
    if result["miou_low"] is not None:
        lines[len(result["iou"])] += (
            f"  (95 % interval over images: {result['miou_low']:.2f} to {result['miou_high']:.2f})"
        )
    return ["IoU by class", *lines]


def _ways(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _scale(text: str) -> float:
    scale = real(text)
    if not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:
        raise argparse.ArgumentTypeError(f"{text} is not in {1 / LARGEST_SCALE} to {LARGEST_SCALE}")
    return scale
