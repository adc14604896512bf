"""What the subcommands' parsers share."""

import argparse
import sys
import textwrap
from typing import Any, NoReturn

# Descriptions are wrapped here because the formatter that leaves examples alone wraps nothing.
_HELP_WIDTH = 80


class Parser(argparse.ArgumentParser):
    """argparse as the project wants it: full option names only, examples as they were written, errors in one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        if kwargs.get("description"):
            kwargs["description"] = textwrap.fill(kwargs["description"], _HELP_WIDTH)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2 and one line."""
        print(f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def example(*lines: str) -> str:
    """An epilog that shows commands to copy."""
    return "\n".join(["example:" if len(lines) == 1 else "examples:", *(f"  {line}" for line in lines)])


def positive(text: str) -> int:
    """A whole number above 0."""
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def not_negative(text: str) -> int:
    """A whole number, 0 or above."""
    number = _whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def share(text: str) -> float:
    """A number from 0 to 1."""
    number = real(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def real(text: str) -> float:
    """Any number, `nan` and `inf` included; ranges are its user's affair."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
