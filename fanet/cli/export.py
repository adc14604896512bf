"""`fanet export`."""

import argparse
from typing import TYPE_CHECKING, Any

from fanet.cli.arguments import add_import_argument, example, positive
from fanet.cli.data import add_dataset_arguments, dataset_options
from fanet.segmentation.prediction.engines.precision import EXPORT_PRECISIONS

if TYPE_CHECKING:
    from fanet.segmentation import SegmentationModel

TIMM = "timm:"  # before the name of a classifier
MOST_SCORED = 100
COMPILED_SIZE = (512, 512)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as ONNX or as a compiled package, or check such a file",
        description="Writes a segmentation model, or a classifier of timm, as ONNX or as a package of PyTorch's "
        "compiler. Before a file gets its name, it is run beside PyTorch, ONNX at eight sizes. It carries classes, "
        "palette, preprocessing, and a proof: images with the labels that it must give wherever it runs. `fanet "
        "predict` and `fanet evaluate` take it as a model.",
        epilog=example(
            "fanet export clutter clutter.onnx",
            "fanet export runs/mine/best mine.onnx --size 512 928",
            "fanet export timm:fanet_base classifier.onnx",
            "fanet export runs/mine/best small.onnx --precision int8 --dataset folder --data my_photos",
            "fanet export runs/mine/best mine.pt2 --size 512 928",
            "fanet export mine.onnx --check",
        ),
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="segmentation model: a name inside the package, folder, checkpoint file or Hub id; or timm:NAME, a "
        "classifier of timm with its published weights; with --check the exported file",
    )
    parser.add_argument("out", metavar="OUT", nargs="?", help="file to write, OUT.onnx or OUT.pt2")
    parser.add_argument(
        "--check", action="store_true", help="check an exported file's digest and proof on this machine"
    )
    parser.add_argument(
        "--end-to-end",
        action="store_true",
        help="ONNX: put the preprocessing into the graph, which takes uint8 images and gives label maps",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size",
        metavar=("H", "W"),
        type=positive,
        nargs=2,
        help="take images of this size only (default for OUT.pt2: {} {})".format(*COMPILED_SIZE),
    )
    size.add_argument("--dynamic", action="store_true", help="take images of any size (default for OUT.onnx)")
    parser.add_argument(
        "--precision",
        metavar="P",
        choices=EXPORT_PRECISIONS,
        default=EXPORT_PRECISIONS[0],
        help=f"{', '.join(EXPORT_PRECISIONS)} (default: %(default)s); int8: 8-bit convolutions, of segmentation models",
    )
    images = parser.add_argument_group("labelled images for --precision int8, by default generated scenes")
    add_dataset_arguments(images, "clutter")
    images.add_argument("--data", metavar="DIR", help="where the data set is")
    images.add_argument("--split", metavar="S", default="val", help="part of the data set (default: %(default)s)")
    images.add_argument(
        "--images",
        metavar="N",
        type=positive,
        default=32,
        help="images to calibrate with, at most half of the split; up to a hundred of the others are scored with both "
        "files (default: %(default)s)",
    )
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and print what was checked."""
    import timm

    from fanet.errors import UserError
    from fanet.export import SIZES, check_digest, export_onnx, export_pt2
    from fanet.segmentation import load_model

    if args.check:
        return _check(args)
    if args.out is None:
        raise UserError("name the file to write: fanet export MODEL OUT.onnx")
    size = None if args.size is None else (args.size[0], args.size[1])
    compiles = args.out.lower().endswith(".pt2")
    if compiles and (args.dynamic or args.precision != "fp32" or args.end_to_end):
        raise UserError(
            "a .pt2 file takes images of one size, in fp32: leave --dynamic, --precision and --end-to-end out"
        )
    if compiles and size is None:
        size = COMPILED_SIZE
    model: Any
    if not args.model.startswith(TIMM):
        model = load_model(args.model)
        if args.precision == "int8":
            return _export_int8(model, args, size)
    else:
        name = args.model.removeprefix(TIMM)
        if not timm.is_model(name):
            raise UserError(f"timm has no model '{name}': `fanet models` lists FANet's, timm.list_models() all")
        if args.precision == "int8":
            raise UserError("int8 is for segmentation models, whose loss of mIoU is measured: choose fp32 or fp16")
        model = timm.create_model(name, pretrained=True)
    if compiles and size is not None:
        deviation, runtime = export_pt2(model, args.out, size), "the package"
    else:
        deviation = export_onnx(model, args.out, size, args.precision, end_to_end=args.end_to_end)
        runtime = "ONNX Runtime"
    tried = f"{len(SIZES)} sizes" if size is None else f"{size[0]}x{size[1]} pixels"
    print(
        f"{args.out}: {runtime} computes what PyTorch does at {tried}, up to {deviation:.1e} of the largest output; "
        f"digest {check_digest(args.out)}"
    )
    return 0


def _check(args: argparse.Namespace) -> int:
    from fanet.errors import UserError
    from fanet.export import check_file

    if args.out is not None:
        raise UserError("--check takes one file and writes none: fanet export FILE --check")
    digest, share = check_file(args.model)
    print(f"{args.model}: the proof holds here, logits deviate by {share:.1%} of what is allowed; digest {digest}")
    return 0


def _export_int8(model: "SegmentationModel", args: argparse.Namespace, size: tuple[int, int] | None) -> int:
    from fanet.errors import UserError
    from fanet.export import compare_scores, export_onnx, labels_of
    from fanet.segmentation.data import open_dataset
    from fanet.segmentation.evaluation.evaluate import check_classes
    from fanet.segmentation.network.shipped import load_predictor

    if args.end_to_end and size is not None:
        raise UserError("an 8-bit file with --end-to-end is scored on images of any size: leave --size out")
    dataset = open_dataset(args.dataset, args.data, args.split, **dataset_options(args))
    count = min(args.images, len(dataset) // 2)
    if count == 0:
        raise UserError(f"int8 needs two images, to calibrate and to score; the split {args.split} has {len(dataset)}")
    check_classes(model.classes, dataset.classes)
    images = (model.preprocessing(dataset[index].image) for index in range(count))
    export_onnx(model, args.out, size, "int8", images, args.end_to_end)
    scored = range(count, min(len(dataset), count + MOST_SCORED))
    labels = labels_of(args.out) if args.end_to_end else load_predictor(args.out).labels
    before, after = compare_scores([model.predictor(size).labels, labels], dataset, scored)
    print(
        f"{args.out}: calibrated with {count} images; on {len(scored)} others the mIoU is {after:.2f} %, "
        f"{after - before:+.2f} against fp32"
    )
    return 0
