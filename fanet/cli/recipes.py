"""`fanet recipes`."""

import argparse

from fanet.cli.arguments import example


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "recipes",
        help="list the recipes, or print the path of one",
        description="Lists the recipes that come with the package and what runs them, or prints the path of one. A "
        "recipe is a YAML file whose header states the expected result, the cost and the commands.",
        epilog=example(
            "fanet recipes",
            "cat $(fanet recipes imagenet1k)",
            "cp $(fanet recipes clutter) my_recipe.yaml",
        ),
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="recipe whose path to print")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the list or the path."""
    from fanet.recipes import available, is_for_timm, recipe_path, summary

    if args.name is not None:
        print(recipe_path(args.name))
        return 0
    width = max(map(len, available()))
    for name in available():
        path = recipe_path(name)
        runner = "timm's train.py" if is_for_timm(path) else "fanet train"
        print(f"{name:<{width}}  {runner:<15}  {summary(path)}")
    return 0
