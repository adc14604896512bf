"""`fanet train`."""

import argparse
from pathlib import Path

from fanet.cli.arguments import add_import_argument, example
from fanet.errors import UserError


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
            "fanet train my_images -o runs/mine",
            "fanet train my_recipe.yaml --dry-run",
            "fanet train --import slim.py clutter model.decoder=slim -o runs/slim",
        ),
    )
    parser.add_argument(
        "recipe", metavar="RECIPE", help="name of a recipe, a YAML file, or a folder in which `fanet init` wrote one"
    )
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", default=[], help="settings that replace those of the recipe"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="folder for checkpoints, log and model")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in DIR, or start one if DIR is empty or missing"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="take a few steps and print what time and memory to expect; write nothing",
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
    if args.dry_run:
        return _try(recipe)
    if args.output is None:
        raise UserError("where should the run be written? give a folder, -o DIR, or --dry-run to write nothing")
    result = train(recipe, Path(args.output), resume=args.resume)
    if is_main_process():
        print(
            f"{result['iteration']} iterations in {result['seconds']:.0f} s: mIoU {result['miou']:.1f} %, "
            f"best {result['best_miou']:.1f} %, models in {args.output}"
        )
    return 0


def _try(recipe: dict) -> int:
    """Print what a training will take."""
    from fanet.segmentation.training.trial import try_steps

    trial = try_steps(recipe)
    crop, evaluation = recipe["augmentation"]["crop"], trial.seconds_per_evaluation
    print(
        f"a step of {trial.samples_per_step} crops of {crop[0]}x{crop[1]}: {trial.seconds_per_step:.2f} s and "
        f"{trial.peak_mb / 1e3:.1f} GB of memory; an evaluation: {evaluation:.0f} s\n"
        f"{trial.iterations} steps and {trial.evaluations} evaluations: about {trial.total_seconds / 60:.0f} minutes\n"
        f"about {trial.largest_batch} crops fit into memory at once"
    )
    return 0
