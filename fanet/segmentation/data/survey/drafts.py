"""Files that get their names only once all of them are right."""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fanet.errors import UserError
from fanet.files import UNFINISHED, named_if_full

_ERRORS = "surrogateescape"  # names of files need not be UTF-8


def draft_prefix() -> str:
    """Return a new prefix for the names of drafts, which is that of hidden files."""
    return f"{UNFINISHED}{secrets.token_hex(4)}-"


@contextmanager
def drafted(root: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Write text files for the time of the block.

    Args:
        root: The folder.
        texts: Their contents, by name.

    Raises:
        UserError: They cannot be written.
    """
    try:
        for name, text in texts.items():
            _write(root / name, text)
        yield
    finally:
        for name in texts:
            (root / name).unlink(missing_ok=True)


def write_new(root: Path, texts: Mapping[str, str]) -> None:
    """Write new text files, all of them or none.

    Args:
        root: The folder.
        texts: Their contents, by name.

    Raises:
        UserError: There is a file of one of the names, or they cannot be written.
    """
    prefix = draft_prefix()
    named: list[Path] = []
    with drafted(root, {f"{prefix}{name}": text for name, text in texts.items()}):
        try:
            for name in texts:
                if os.path.lexists(root / name):
                    raise UserError(f"there is a file {root / name}, which is not overwritten: move it away")
                named.append(root / name)
                os.replace(root / f"{prefix}{name}", root / name)
        except BaseException:
            for path in named:
                path.unlink(missing_ok=True)
            raise


def _write(path: Path, text: str) -> None:
    try:
        with named_if_full(path):
            path.write_text(text, encoding="utf-8", errors=_ERRORS)
    except OSError as error:
        raise UserError(f"cannot write in {path.parent}: {error.strerror}") from error
