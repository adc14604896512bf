"""`fanet export`."""

import argparse

from fanet.cli.arguments import add_import_argument, example, positive

TIMM = "timm:"  # before the name of a classifier


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "export",
        help="write a model as ONNX",
        description="Writes a segmentation model, or a classifier of timm, as ONNX. Before the file gets its name, "
        "ONNX Runtime runs it at eight sizes beside PyTorch. It carries classes, palette and preprocessing, and `fanet "
        "predict` and `fanet evaluate` take it as a model.",
        epilog=example(
            "fanet export clutter clutter.onnx",
            "fanet export runs/mine/best mine.onnx --size 512 928",
            "fanet export timm:fanet_base classifier.onnx",
        ),
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="segmentation model: a name inside the package, folder, checkpoint file or Hub id; or timm:NAME, a "
        "classifier of timm with its published weights",
    )
    parser.add_argument("out", metavar="OUT", help="file to write, OUT.onnx")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", metavar=("H", "W"), type=positive, nargs=2, help="take images of this size only")
    size.add_argument("--dynamic", action="store_true", help="take images of any size (default)")
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export, and print what was checked."""
    import timm

    from fanet.errors import UserError
    from fanet.export import SIZES, export_onnx
    from fanet.segmentation import load_model

    is_classifier = args.model.startswith(TIMM)
    name = args.model.removeprefix(TIMM)
    if is_classifier and not timm.is_model(name):
        raise UserError(f"timm has no model '{name}': `fanet models` lists FANet's, timm.list_models() all")
    net = timm.create_model(name, pretrained=True) if is_classifier else load_model(args.model)
    size = None if args.size is None else (args.size[0], args.size[1])
    deviation = export_onnx(net, args.out, size)
    tried = f"{len(SIZES)} sizes" if size is None else f"{size[0]}x{size[1]} pixels"
    print(
        f"{args.out}: ONNX Runtime computes what PyTorch does at {tried}, up to {deviation:.1e} of the largest output"
    )
    return 0
