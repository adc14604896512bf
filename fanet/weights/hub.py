"""Repositories on the Hub: list, download, check, remember.

One request lists a repository's files with their checksums; after that its commit is known, and what the cache holds of
that commit is used without asking again. Whatever fails is reported in one message (`failures.hub_failure`).
"""

import hashlib
import json
import socket
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import FileMetadataError, OfflineModeIsEnabled

from fanet.errors import UserError
from fanet.files import atomic_path
from fanet.weights.failures import WeightsError, hub_failure
from fanet.weights.sources import CONFIG_NAME, WEIGHTS_NAME, checkpoint_names

CARD_NAME = "README.md"
RECORD_NAME = ".fanet.json"  # in the repository's folder of the cache, so that deleting that deletes it too
RETRIED_STATUS = (429, 500, 502, 503, 504)
REACH_TIMEOUT = 1.5  # seconds
PAUSE = 1.0  # seconds before the listing is asked for again, the Hub client's own first pause
SHA256_LENGTH = 64  # hexadecimal digits; git's SHA-1, of small files, has 40
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Listing:
    """A commit and its files: by name the size in bytes and the digest, SHA-256 or git's; "" where not known."""

    commit: str
    files: dict[str, tuple[int, str]]


class Repository:
    """One revision of a model repository on the Hub, or what the cache holds of it; see `sources.Source`."""

    def __init__(
        self,
        model: str,
        repo_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        filename: str | None = None,
    ) -> None:
        """
        Args:
            model: What is to be loaded, for messages.
            repo_id: `ORG/NAME`.
            revision: Branch, tag or commit; the main branch by default.
            cache_dir: The Hub cache to use instead of the usual one.
            token: For private repositories; the stored one by default.
            local_files_only: Make no request.
            filename: The one file to look at, where it is known.
        """
        self.model = model
        self.repo_id = repo_id
        self.revision = revision or constants.DEFAULT_REVISION
        self.cache_dir = Path(cache_dir or constants.HF_HUB_CACHE).expanduser()
        self.token = token
        self.local_files_only = local_files_only
        self.filename = filename
        self._unreachable: Exception | None = None  # why the cache has to do

    @cached_property
    def listing(self) -> Listing:
        """The files of the repository; of those in the cache where it cannot be asked."""
        remembered = self._remembered()
        if remembered is not None and remembered.commit == self.revision:
            return remembered  # a commit never changes
        try:
            return self._ask(patient=remembered is None)
        except Exception as error:  # the client's HTTP library has changed twice, and its exceptions with it
            if remembered is None:
                raise self._failure(error) from error
            self._unreachable = error
            return remembered

    @property
    def files(self) -> dict[str, int]:
        """Size in bytes by name; without a connection, of what is in the cache."""
        files = {name: size for name, (size, _) in self.listing.files.items()}
        if self._unreachable is not None:
            files = {name: size for name, size in files.items() if self._is_cached(name)}
            if not checkpoint_names(files):
                raise self._failure(self._unreachable) from self._unreachable
        if self.filename is None:
            return files
        if self.filename not in files:
            if self._unreachable is not None:
                raise self._failure(self._unreachable) from self._unreachable
            raise self.failure(f"there is no file {self.filename} in it; check the name and the revision")
        return {self.filename: files[self.filename]}

    def fetch(self, name: str) -> Path:
        """The path of a file in the cache, downloaded if need be; its digest is the Hub's, or it is removed.

        Raises:
            WeightsError: the file cannot be had, or its bytes are not those on the Hub.
        """
        commit, (_, digest) = self.listing.commit, self.listing.files[name]
        try:
            path = Path(
                hf_hub_download(
                    self.repo_id,
                    name,
                    revision=commit,
                    cache_dir=self.cache_dir,
                    token=self.token,
                    etag_timeout=constants.HF_HUB_ETAG_TIMEOUT,
                    local_files_only=self._unreachable is not None,
                    library_name="fanet",
                )
            )
        except Exception as error:  # as above
            raise self._failure(self._unreachable or error) from error
        digest = digest or _blob_digest(path)
        if digest and file_digest(path, len(digest)) != digest:
            self.discard(path)
            raise self.failure(f"{name} is not the file on the Hub, its checksum differs; it was removed: try again")
        self._write_record()
        return path

    def discard(self, path: Path) -> None:
        """Remove a bad file from the cache.

        Raises:
            WeightsError: the cache cannot be written to.
        """
        blob = path.resolve()
        try:
            path.unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
        except OSError as error:
            raise self.failure(
                f"the bad file {path} cannot be removed ({error.strerror}); remove it yourself"
            ) from error

    def recall(self, purpose: str) -> str | None:
        """The file that fitted this purpose before, in this commit."""
        entry = self._read_record().get(self.revision, {})
        return entry.get("chosen", {}).get(purpose) if entry.get("commit") == self.listing.commit else None

    def remember(self, purpose: str, name: str) -> None:
        """Note in the cache which file fitted."""
        if self.recall(purpose) != name:
            self._write_record({purpose: name})

    def failure(self, reason: str) -> WeightsError:
        """An error that names model and repository."""
        return WeightsError(f"cannot load {self.model} from the Hub repository {self.repo_id}: {reason}")

    def _is_cached(self, name: str) -> bool:
        return isinstance(try_to_load_from_cache(self.repo_id, name, self.cache_dir, self.listing.commit), str)

    def _failure(self, error: BaseException) -> WeightsError:
        return hub_failure(f"load {self.model} from", self.repo_id, error, self.local_files_only)

    def _ask(self, patient: bool) -> Listing:
        """The Hub's answer; `patient` asks a second time where the server has a moment of weakness."""
        if self.local_files_only or constants.HF_HUB_OFFLINE:
            raise OfflineModeIsEnabled("no request is made")
        _require_connection()
        api = HfApi(token=self.token, library_name="fanet")
        ask: Any = dict(revision=self.revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        try:
            info = api.model_info(self.repo_id, **ask)
        except OSError as error:
            if not patient or getattr(getattr(error, "response", None), "status_code", None) not in RETRIED_STATUS:
                raise
            time.sleep(PAUSE)
            info = api.model_info(self.repo_id, **ask)
        if info.sha is None:
            raise FileMetadataError("the answer names no commit")
        files = {}
        for file in info.siblings or []:
            files[file.rfilename] = (file.size or 0, (file.lfs.sha256 if file.lfs else file.blob_id) or "")
        return Listing(info.sha, files)

    def _remembered(self) -> Listing | None:
        """What was listed when the repository was last reached; or what others have put into the cache."""
        if entry := self._read_record().get(self.revision):
            return Listing(entry["commit"], {name: (size, digest) for name, (size, digest) in entry["files"].items()})
        paths = {}
        for name in (CONFIG_NAME, WEIGHTS_NAME, self.filename):
            path = name and try_to_load_from_cache(self.repo_id, name, self.cache_dir, self.revision)
            if isinstance(path, str):
                paths[str(name)] = Path(path)
        if not checkpoint_names(dict.fromkeys(paths, 0)):
            return None
        commit = next(iter(paths.values())).parent.name
        return Listing(commit, {name: (path.stat().st_size, "") for name, path in paths.items()})

    @property
    def _record(self) -> Path:
        return self.cache_dir / "--".join(("models", *self.repo_id.split("/"))) / RECORD_NAME

    def _read_record(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
            for entry in record.values():
                entry["commit"], entry["chosen"].items()
                [(int(size), str(digest)) for size, digest in entry["files"].values()]
            return record
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}  # as good as none: it is written again

    def _write_record(self, chosen: dict[str, str] | None = None) -> None:
        """Note the listing, and what was chosen from it."""
        record = self._read_record()
        entry = record.get(self.revision, {})
        same_commit = entry.get("commit") == self.listing.commit
        if same_commit and chosen is None:
            return
        kept = entry["chosen"] if same_commit else {}
        record[self.revision] = {
            "commit": self.listing.commit,
            "files": self.listing.files,
            "chosen": kept | (chosen or {}),
        }
        try:
            with atomic_path(self._record) as path:
                path.write_text(json.dumps(record, indent=1), encoding="utf-8")
        except (OSError, UserError):
            pass  # a cache that is read-only still serves


def upload_folder(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload model",
) -> str:
    """Share the files of a folder as a repository on the Hub, where an older model card stays.

    Args:
        folder: What to share.
        repo_id: `ORG/NAME`; made where it does not exist.
        private: Make it a private one.
        token: With the right to write; the stored one by default.
        revision: The branch to write to.
        commit_message: What the commit says.

    Returns:
        The address of the commit.

    Raises:
        UserError: the Hub refuses.
    """
    api = HfApi(token=token, library_name="fanet")
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        # somebody may have edited the card
        kept = [CARD_NAME] if api.file_exists(repo_id, CARD_NAME, revision=revision) else []
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            ignore_patterns=kept,
            revision=revision,
            commit_message=commit_message,
        )
    except Exception as error:  # the client's HTTP library has changed twice, and its exceptions with it
        raise hub_failure("push to", repo_id, error) from error
    return str(commit)


def _require_connection() -> None:
    """Try to reach the Hub, because its client tries for much longer before it gives up.

    Raises:
        OSError: it cannot be reached within `REACH_TIMEOUT`.
    """
    address = urlsplit(constants.ENDPOINT)
    if any(getproxies().get(key) for key in (address.scheme, "all")) and not proxy_bypass(address.hostname or ""):
        return  # the proxy knows the way
    port = address.port or (443 if address.scheme == "https" else 80)
    socket.create_connection((address.hostname or "", port), timeout=REACH_TIMEOUT).close()


def _blob_digest(path: Path) -> str:
    """The digest by which the client files a download; "" where it does not link to it."""
    name = path.resolve().name
    return name if len(name) in (40, SHA256_LENGTH) and all(digit in "0123456789abcdef" for digit in name) else ""


def file_digest(path: Path, length: int) -> str:
    """SHA-256 of a file, or git's SHA-1 of it where `length` is 40 digits."""
    if length == SHA256_LENGTH:
        digest = hashlib.sha256()
    else:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
