"""The files of a data set: in a folder, or in a zip archive that is never unpacked."""

import json
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from hashlib import md5 as new_md5
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fanet.errors import UserError
from fanet.files import atomic_path

# Archives that this process has verified, for read-only folders.
_verified: set[tuple[Path, int, int]] = set()
# It may be an incomplete download, or an archive that the user packed.
_IF_OTHER = (
    "download it again, or allow one that you packed yourself by --any-archive, in training by "
    "data.train_kwargs.verify=false data.val_kwargs.verify=false"
)
_BLOCK = 1 << 22  # bytes hashed at a time: large enough for the disk, small enough for a smooth progress bar


class Storage(ABC):
    """Files by name: paths with forward slashes, relative to the root."""

    @abstractmethod
    def subfolders(self, folder: str) -> list[str]:
        """Return the names of the folders directly in `folder` (the root is an empty string), sorted."""

    @abstractmethod
    def files(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted; hidden files are left out."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            UserError: The file is missing, unreadable or damaged.
        """

    @abstractmethod
    def describe(self, name: str) -> str:
        """Return a file's name for error messages."""


class FolderStorage(Storage):
    """Files in a folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def subfolders(self, folder: str) -> list[str]:
        return self._names(folder, os.DirEntry.is_dir)

    def files(self, folder: str) -> list[str]:
        return self._names(folder, os.DirEntry.is_file)

    def _names(self, folder: str, wanted: Callable[[os.DirEntry], bool]) -> list[str]:
        """Return the visible entries of a folder for which `wanted` is true; none if there is no such folder."""
        if not (self.root / folder).is_dir():
            return []
        with os.scandir(self.root / folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and wanted(entry))

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise UserError(f"there is no file {self.describe(name)}") from None
        except OSError as error:
            raise UserError(f"cannot read {self.describe(name)}: {error.strerror}") from error

    def describe(self, name: str) -> str:
        return str(self.root / name)


class ZipStorage(Storage):
    """Files in a zip archive. Every process opens it itself: a shared handle would have a shared position.

    Raises:
        UserError: The archive is missing or not a zip archive.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._handle: zipfile.ZipFile | None = None
        self._owner = 0
        self._by_folder: dict[str, list[str]] = {}
        for info in self._archive().infolist():
            folder, _, name = info.filename.rpartition("/")
            if name and not name.startswith(".") and not folder.startswith("__MACOSX"):
                self._by_folder.setdefault(folder, []).append(name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_owner": 0}

    def subfolders(self, folder: str) -> list[str]:
        prefix = f"{folder}/" if folder else ""
        below = {name[len(prefix) :].split("/")[0] for name in self._by_folder if name.startswith(prefix)}
        return sorted(below - {""})

    def files(self, folder: str) -> list[str]:
        return sorted(self._by_folder.get(folder, []))

    def read(self, name: str) -> bytes:
        try:
            return self._archive().read(name)
        except KeyError:
            raise UserError(f"there is no file {self.describe(name)}") from None
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UserError(f"{self.describe(name)} is damaged ({error}): download the archive again") from error
        except (NotImplementedError, RuntimeError) as error:  # a compression method or a password
            raise UserError(f"cannot unpack {self.describe(name)}: {error}") from error

    def describe(self, name: str) -> str:
        return f"{self.path}/{name}"

    def _archive(self) -> zipfile.ZipFile:
        if self._handle is None or self._owner != os.getpid():
            try:
                self._handle = zipfile.ZipFile(self.path)
            except FileNotFoundError:
                raise UserError(f"there is no file {self.path}") from None
            except zipfile.BadZipFile as error:
                raise UserError(f"{self.path} is not a complete zip archive ({error}): download it again") from error
            self._owner = os.getpid()
        return self._handle


def open_storage(path: str | Path) -> Storage:
    """Open a folder, or a zip archive, recognised by its suffix.

    Raises:
        UserError: There is no such folder or archive.
    """
    path = Path(path)
    if path.is_dir():
        return FolderStorage(path)
    if path.suffix.lower() == ".zip":
        return ZipStorage(path)
    if path.exists():
        raise UserError(f"{path} is neither a folder nor a zip archive")
    raise UserError(f"there is no folder {path}")


def verify_archive(path: str | Path, size: int, md5: str) -> None:
    """Check that an archive is the published one.

    Reading all of it takes a while, so the result is stored next to the archive, in `<name>.verified.json`, and holds
    as long as size and modification time do not change. If that file cannot be written, nothing is stored.

    Args:
        path: The archive.
        size: Its size in bytes.
        md5: Its MD5 digest, hexadecimal.

    Raises:
        UserError: The archive is missing, or size or digest differ.
    """
    path = Path(path)
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"there is no file {path}") from error
    if status.st_size != size:
        raise UserError(f"{path} has {status.st_size} bytes, the published archive {size}: {_IF_OTHER}")
    seen = {"size": size, "mtime_ns": status.st_mtime_ns, "md5": md5}
    note = path.with_name(f"{path.name}.verified.json")
    if (path.resolve(), size, status.st_mtime_ns) in _verified or _read_note(note) == seen:
        return
    digest = _digest(path, size)
    if digest != md5:
        raise UserError(f"{path} has the md5 {digest}, the published archive {md5}: {_IF_OTHER}")
    _verified.add((path.resolve(), size, status.st_mtime_ns))
    # In a read-only folder the next process verifies the archive again.
    with suppress(UserError, OSError), atomic_path(note) as temporary:
        temporary.write_text(json.dumps(seen) + "\n", encoding="utf-8")


def _read_note(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _digest(path: Path, size: int) -> str:
    digest = new_md5(usedforsecurity=False)
    bar = tqdm(total=size, desc=f"verifying {path.name}", unit="B", unit_scale=True, dynamic_ncols=True)
    with path.open("rb") as file, bar:
        while block := file.read(_BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()
