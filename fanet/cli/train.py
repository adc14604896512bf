"""`fanet train`."""

import argparse
from pathlib import Path

from fanet.cli.arguments import add_import_argument, example


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "train",
        help="train a segmentation model",
        description="Trains a segmentation model from a recipe.",
        epilog=example(
            "fanet train clutter -o runs/clutter",
            "fanet train my_recipe.yaml optimizer.lr=1e-3 -o runs/mine",
            "fanet train clutter -o runs/clutter --resume",
            "fanet train --import slim.py clutter model.decoder=slim -o runs/slim",
        ),
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a YAML file")
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", default=[], help="settings that replace those of the recipe"
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for checkpoints, log and model")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in DIR, or start one if DIR is empty or missing"
    )
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and print the scores and where the models are."""
    from fanet.recipes import load_recipe
    from fanet.segmentation.processes import is_main_process
    from fanet.segmentation.training.settings import OPTIONAL_KEYS
    from fanet.segmentation.training.train import train

    recipe = load_recipe(args.recipe, args.overrides, OPTIONAL_KEYS)
    result = train(recipe, Path(args.output), resume=args.resume)
    if is_main_process():
        print(
            f"{result['iteration']} iterations in {result['seconds']:.0f} s: mIoU {result['miou']:.1f} %, "
            f"best {result['best_miou']:.1f} %, models in {args.output}"
        )
    return 0
