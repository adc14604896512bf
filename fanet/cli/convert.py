"""`fanet convert`."""

import argparse

from fanet.cli.arguments import add_import_argument, example


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "convert",
        help="convert weights in any layout to safetensors",
        description="Converts weights in any layout (the authors', MMSegmentation's or this project's) to a folder "
        "with model.safetensors and config.json: a backbone for timm (local-dir:, hf-hub:) or a segmentation model. "
        "Prints the old and new name of every tensor. Code in pickles is never run. A backbone also gets a model "
        "card, and --push shares the result on the Hub.",
        epilog=example(
            "fanet convert model_best.pth.tar fanet_base_in1k",
            "fanet convert iter_40000.pth fanet_zerowaste",
            "fanet convert output/train/RUN/model_best.pth.tar fanet_base_in1k --dataset ImageNet-1K --push ORG/NAME",
        ),
    )
    parser.add_argument("source", metavar="SOURCE", help="checkpoint file, folder that holds one, or Hub id")
    parser.add_argument("target", metavar="TARGET", help="folder to create")
    parser.add_argument("--push", metavar="ORG/NAME", help="push the result to this repository on the Hub")
    parser.add_argument("--private", action="store_true", help="create the repository as private")
    parser.add_argument("--dataset", metavar="NAME", help="what the model was trained on, for its card")
    parser.add_argument("--license", metavar="ID", help="licence of the weights, for its card, e.g. apache-2.0")
    parser.add_argument(
        "--float16", action="store_true", help="scale a segmentation model's decoder so that it fits float16"
    )
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, push if asked to, and print the report."""
    from fanet.publishing import publish

    report, commit = publish(
        args.source, args.target, args.push, args.private, args.dataset, args.license, float16=args.float16
    )
    print(report)
    if commit is not None:
        print(f"pushed: {commit}")
    return 0
