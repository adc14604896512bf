"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanet.errors import UserError

UNFINISHED = ".tmp-"  # how the names of files begin that are being written


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, with the same suffix, that takes its place when the block succeeds.

    Nobody ever sees half a file under `path`: if the block fails, whatever was written is removed and what stood there
    before stays. A symbolic link stays a link; its target is replaced.

    Raises:
        UserError: the folder of `path` does not exist or cannot be written to, or `path` is a folder.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise UserError(f"the folder {target.parent} does not exist: make it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UserError(f"no permission to write in {target.parent}: choose another folder")
    # The name stays short however long the target's is: file systems limit it to 255 bytes.
    temporary = target.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{target.suffix}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers, safetensors among them, leave a file that only its owner can read
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(path: str | Path) -> Path:
    """The folder `path`, made with its parents where it is missing.

    Raises:
        UserError: it cannot be made, for want of permission or because a file is in the way.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot make the folder {folder}: a file of that name is in the way") from error
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
