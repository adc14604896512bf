"""`fanet init`."""

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fanet.cli.arguments import example, named, real
from fanet.cli.printing import print_line
from fanet.errors import UserError, printable

if TYPE_CHECKING:
    from fanet.segmentation.data.survey import Survey


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "init",
        help="describe a folder of your own images, and fit a recipe to it",
        description="Looks at a folder of images and masks, or COCO, YOLO or labelme annotations, says what it found "
        "and what it had to guess, writes DIR/dataset.yaml and DIR/recipe.yaml, and prints the commands that come "
        "next. Overwrites nothing. A dataset.yaml that is there is used as it is.",
        epilog=example("fanet init photos", "fanet init photos --minutes 30"),
    )
    parser.add_argument("folder", metavar="DIR", type=named, help="folder of the images and their labels")
    parser.add_argument(
        "--minutes",
        metavar="M",
        type=real,
        default=10.0,
        help="how long the training may take on this machine (default: %(default)g)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, write, and print what was found and what comes next."""
    from fanet.recipes import RECIPE_NAME
    from fanet.segmentation.data.survey import survey_folder, write_new
    from fanet.segmentation.training.fitted import recipe_for

    root = Path(args.folder)
    if not 0 < args.minutes < 1e6:
        raise UserError(f"--minutes must be above 0, got {args.minutes:g}")
    if os.path.lexists(root / RECIPE_NAME):
        raise UserError(f"there is a file {root / RECIPE_NAME}, which is not overwritten: move it away")
    survey = survey_folder(root)
    for line in [*survey.found, *(f"note: {line}" for line in survey.guesses)]:
        print_line(printable(line))
    fitted = recipe_for(survey, args.minutes)
    texts = survey.texts() | {RECIPE_NAME: fitted.text}
    write_new(root, texts)
    print_line(printable(fitted.line))
    print_line(printable(f"wrote {', '.join(str(root / name) for name in texts)}; next:"))
    for command in _next(survey):
        print_line(printable(f"  {command}"))
    print_line("while it trains, report.html in the folder of the run shows how it goes")
    return 0


def _next(survey: "Survey") -> list[str]:
    """Return the commands to go on with."""
    folder, run = shlex.quote(str(survey.root)), shlex.quote(f"runs/{survey.root.resolve().name or 'own'}")
    image = shlex.quote(str(survey.root / survey.example))
    data = f"--dataset folder --data {folder} --split {shlex.quote(survey.val)}"
    return [
        f"fanet data check {folder} --dataset folder",
        f"fanet train {folder} -o {run}",
        f"fanet evaluate --model {run}/best {data} -o {run}/{survey.val}",
        f"fanet predict {image} --model {run}/best -o {run}/overlays",
    ]
