"""What the parsers of the subcommands share."""

import argparse
import importlib.util
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fanet.errors import UserError, one_line
from fanet.segmentation.prediction.engines import AUTO, ENGINES, PRECISIONS
from fanet.segmentation.prediction.windows import OVERLAP, check_window

# Descriptions are wrapped here because the formatter that preserves examples wraps nothing.
_HELP_WIDTH = 80


class Parser(argparse.ArgumentParser):
    """A parser that takes full option names only, prints examples as written, and reports errors in one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        if kwargs.get("description"):
            kwargs["description"] = textwrap.fill(kwargs["description"], _HELP_WIDTH)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print one line and end the process with status 2."""
        print(f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def named(text: str) -> str:
    """Parse the name of a file or folder, which is empty if a variable of the shell is not set."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def example(*lines: str) -> str:
    """Format an epilog of commands to copy."""
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *(f"  {line}" for line in lines)])


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option for Python files to import first; `import_files` imports them."""
    parser.add_argument(
        "--import",
        metavar="FILE",
        dest="imports",
        action="append",
        default=[],
        help="Python file to import first, which registers your own decoders; may be given several times",
    )


def import_files(paths: Sequence[str]) -> None:
    """Import Python files, under names that no other module has and that are the same for the same file.

    Raises:
        UserError: A file is missing or cannot be imported.
    """
    for path in paths:
        name = "fanet_import" + re.sub(r"\W", "_", str(Path(path).resolve()))  # torch.compile needs an identifier
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not Path(path).is_file():
            raise UserError(f"there is no Python file {path} to import")
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{path} cannot be imported: {type(error).__name__}: {one_line(error)}") from error


def add_window_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for sliding windows; `window_of` reads them."""
    parser.add_argument(
        "--window",
        metavar=("H", "W"),
        nargs=2,
        type=positive,
        help="slide a window of this height and width over the image, for images that do not fit into memory",
    )
    parser.add_argument(
        "--overlap",
        metavar="P",
        type=real,
        help=f"overlap of neighbouring windows as a share of their size, 0 to 0.9 (default: {OVERLAP})",
    )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options for what runs the network."""
    parser.add_argument(
        "--engine",
        metavar="NAME",
        choices=[*ENGINES, AUTO],
        help=f"what runs the network: {', '.join(ENGINES)}; or {AUTO}, the fastest that gives nearly the labels of the "
        f"first (default: {ENGINES[0]}, onnx for a .onnx file)",
    )
    parser.add_argument(
        "--precision",
        metavar="P",
        choices=PRECISIONS,
        help=f"{' or '.join(PRECISIONS)} (default: {PRECISIONS[0]}; {AUTO} tries all that the processor has)",
    )


def window_of(args: argparse.Namespace) -> tuple[tuple[int, int] | None, float]:
    """Return the window and its overlap.

    Raises:
        UserError: They are invalid.
    """
    if args.overlap is not None and args.window is None:
        raise UserError("--overlap needs windows: give --window H W too")
    overlap = OVERLAP if args.overlap is None else args.overlap
    if args.window is None:
        return None, overlap
    check_window(args.window, overlap)
    return (args.window[0], args.window[1]), overlap


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def not_negative(text: str) -> int:
    """Parse a whole number, 0 or above."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    number = real(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def real(text: str) -> float:
    """Parse any number, `nan` and `inf` included; the caller checks its range."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
