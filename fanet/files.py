"""Files that are written whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fanet.errors import UserError

UNFINISHED = ".tmp-"  # prefix of files that are being written

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A writer that gives up for lack of space leaves less than this free, in bytes: they write in smaller blocks.
_BLOCK = 1 << 20


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, with the same suffix, that replaces it when the block succeeds.

    `path` is never half a file: if the block fails, whatever was written is removed and the previous file stays. A
    symbolic link stays a link; its target is replaced.

    Raises:
        UserError: The folder of `path` does not exist or cannot be written to, `path` is a folder, or the disk is full.
    """
    target = Path(os.path.realpath(path))  # unlike `resolve`, of a link to itself too
    if target.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    if not target.parent.is_dir():
        raise UserError(f"the folder {target.parent} does not exist: create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UserError(f"no permission to write in {target.parent}: choose another folder")
    # The name stays short however long the target's is: file systems limit it to 255 bytes.
    temporary = target.with_name(f"{UNFINISHED}{secrets.token_hex(8)}{target.suffix}")
    try:
        with named_if_full(path):
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers, safetensors among them, leave a file that only its owner can read
            os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error  # a failed write does not say which file
        raise


@contextmanager
def named_if_full(path: str | Path) -> Iterator[None]:
    """Translate the failure of a write within the block into one line with the file's name, if the disk is full.

    Raises:
        UserError: There is no room for the file.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # writers in C++ and Rust raise errors of their own, which only say that writing failed
        if isinstance(error, OSError) and error.errno is not None:
            is_full, reason = error.errno in _NO_SPACE, error.strerror
        else:
            free = shutil.disk_usage(Path(path).resolve().parent).free
            reason = os.strerror(errno.ENOSPC)
            is_full = free < _BLOCK or reason in str(error)
        if not is_full:
            raise
        raise UserError(f"cannot write {path}: {reason}; free some space, or choose another folder") from error


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder beside `path` that takes its name when the block succeeds, and is removed if it fails.

    Errors of the user within the block name files as if they were in `path`.

    Raises:
        UserError: The folder cannot be created, or the disk is full.
        OSError: `path` exists and is not an empty folder.
    """
    target = Path(path).resolve()
    temporary = make_folder(target.parent / f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        with named_if_full(path):
            yield temporary
            os.replace(temporary, target)
    except UserError as error:
        raise UserError(str(error).replace(str(temporary), str(path))) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
