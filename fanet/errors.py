"""The error for mistakes of the user, the warning about their files, and helpers for errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake of the user: its message is one line that says what is wrong and how to fix it.

    The command line prints that line and ends with exit status 2.
    """

    def __str__(self) -> str:
        return printable(super().__str__())


class InputWarning(UserWarning):
    """Something in an input that was left out or may not mean what it seems: one line with the input's name.

    Attributes:
        kind: The same for all inputs with the same trouble, so that they can be counted.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def one_line(error: BaseException | str, limit: int = 300) -> str:
    """Return the message of an error in one line of at most `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """Return a text that any terminal can print: bytes of file names that are no UTF-8 become escapes."""
    text = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def needs_extra(extra: str, *modules: str) -> Iterator[None]:
    """Guard imports of optional packages.

    with needs_extra("seg", "cv2"):
        import cv2

    Args:
        extra: The extra of this package that installs them.
        modules: Names, as imported, of the packages that may be missing.

    Raises:
        UserError: One of `modules` is not installed. Any other missing module is a bug and passes through.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in modules:
            raise UserError(f'{package} is not installed: pip install "fanet[{extra}]"') from error
        raise
