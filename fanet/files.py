"""Files that are written whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanet.errors import UserError

UNFINISHED = ".tmp-"  # prefix of files that are being written


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix, that replaces it when the block succeeds.

    `path` is never half a file: if the block fails, whatever was written is removed and the previous file stays. A
    symbolic link stays a link; its target is replaced.

    Raises:
        UserError: The folder of `path` does not exist or cannot be written to, or `path` is a folder.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise UserError(f"the folder {target.parent} does not exist: create it first")
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
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say which file
        raise


def make_folder(path: str | Path) -> Path:
    """Create the folder `path`, with its parents, if it is missing, and return it.

    Raises:
        UserError: It cannot be created, for lack of permission or because a file is in the way.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot create the folder {folder}: a file of that name is in the way") from error
    except OSError as error:
        raise UserError(f"cannot create the folder {folder}: {error.strerror}") from error
    return folder
