"""The command `fanet`: each module in `COMMANDS` is a subcommand."""

import argparse
import errno
import sys
from collections.abc import Sequence

from fanet.cli import (
    benchmark,
    calibrate,
    compare,
    convert,
    data,
    demo,
    engines,
    evaluate,
    export,
    features,
    init,
    models,
    predict,
    recipes,
    run,
    train,
    verify_published,
)
from fanet.cli.allocator import keep_freed_memory
from fanet.cli.arguments import Parser, import_files
from fanet.cli.printing import grouped_warnings
from fanet.cli.version import version_lines
from fanet.errors import UserError
from fanet.interrupts import INTERRUPTED, raise_again
from fanet.segmentation.processes import leave_processes

COMMANDS = (
    demo,
    init,
    predict,
    train,
    evaluate,
    calibrate,
    compare,
    benchmark,
    recipes,
    data,
    models,
    convert,
    export,
    engines,
    features,
    verify_published,
    run,
)

# Refused by the operating system, on any file: not a bug, no more than a wrong argument is.
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line. Subcommands import what they need only when they run."""
    parser = Parser(prog="fanet", description="FANet and UperNet: semantic segmentation in clutter.")
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument(
        "--verbose", action="store_true", help="with --version: also those of other packages, and the machine"
    )
    # not `required`, as --version needs none; `_parse` asks for it
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments without the program's name; those of this process by default.

    Returns:
        The exit status: 0, 2 for a mistake of the user (one line on standard error), 130 when interrupted.

    Raises:
        SystemExit: For `--help` and `--version` (status 0), or arguments that do not parse (status 2).
    """
    raise_again()
    args = _parse(argv)
    keep_freed_memory()
    try:
        with grouped_warnings():
            import_files(getattr(args, "imports", ()))
            return args.run(args)
    except UserError as error:
        return _refuse(str(error))
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror))
    except KeyboardInterrupt as interrupt:
        print(f"fanet: interrupted{f': {interrupt}' if interrupt.args else ''}", file=sys.stderr)
        return INTERRUPTED
    finally:
        leave_processes()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    # argparse closes a list of positionals at the first option: `train RECIPE -o DIR KEY=VALUE` leaves KEY=VALUE
    if rest and hasattr(args, "overrides") and not any(word.startswith("-") for word in rest):
        args.overrides = [*args.overrides, *rest]
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if args.version:
        print("\n".join(version_lines(args.verbose)))
        parser.exit()
    if args.command is None:
        parser.error("the following arguments are required: COMMAND")
    return args


def _refuse(message: str) -> int:
    print(f"fanet: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
