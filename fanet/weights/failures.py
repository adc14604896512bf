"""One message for every way in which weights fail to load: which model, from where, why, and what to do."""

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fanet.errors import UserError, one_line

LOG_IN = "log in with `hf auth login` or pass a token"
TRY_LATER = "try again later, or load a local file"


class WeightsError(UserError, RuntimeError):
    """Weights that cannot be loaded or shared. A RuntimeError too, because that is what users of timm catch."""


def hub_failure(task: str, repo_id: str, error: BaseException, local_only: bool = False) -> WeightsError:
    """The message for whatever went wrong between this machine and the Hub.

    Args:
        task: What was attempted, "load fanet_base from".
        repo_id: The repository.
        error: What the Hub client, its HTTP library or the file system raised.
        local_only: The caller asked for the cache alone.
    """
    reason, advice = _explain(error)
    if constants.HF_HUB_OFFLINE:
        mode = "offline mode is set by HF_HUB_OFFLINE"
    else:
        mode = "local_files_only is set" if local_only else "offline mode is not set"
    return WeightsError(f"cannot {task} the Hub repository {repo_id}: {reason} ({mode}); {advice}")


def _explain(error: BaseException) -> tuple[str, str]:
    """Why it failed, and what to do about it."""
    if error.__cause__ is not None and isinstance(error, EntryNotFoundError) and not isinstance(error, HfHubHTTPError):
        return _explain(error.__cause__)  # "not in the cache" is said of everything; the cause knows why
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, OfflineModeIsEnabled):
        return "the files are not in the cache", "load once with a connection, or load a local file"
    if isinstance(error, GatedRepoError):
        return "access to it must be granted first", f"ask for it on the repository's page, then {LOG_IN}"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such revision", "check the branch, tag or commit"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private", f"check the name; for a private one {LOG_IN}"
    if isinstance(error, EntryNotFoundError):
        if status is None:
            return "the files are not in the cache", "load once with a connection, or load a local file"
        return f"a file is missing there ({one_line(error, 120)})", "check the name of the file and the revision"
    if status in (401, 403):
        return f"access was refused (status {status}: {_server_message(error)})", LOG_IN
    if status == 429:
        return "too many requests (status 429)", "wait some minutes, or log in with `hf auth login`"
    if status is not None:
        return f"the server answered with status {status}", TRY_LATER
    if isinstance(error, FileMetadataError):
        return f"the answer is not a Hub's ({one_line(error, 160)})", "check proxy, firewall and HF_ENDPOINT"
    if isinstance(error, PermissionError):
        return f"no permission for {error.filename}", "set HF_HOME or cache_dir to a folder that can be written to"
    if isinstance(error, ValueError):  # an answer that is not JSON, or a name that the client refuses
        return (
            f"the answer or the name makes no sense ({one_line(error, 160)})",
            "check the name, proxy and HF_ENDPOINT",
        )
    kind = "timed out" if "timeout" in type(error).__name__.lower() else one_line(error, 200)
    return f"the connection failed ({kind})", "check the connection and try again, or load a local file"


def _server_message(error: BaseException) -> str:
    return one_line(getattr(error, "server_message", None) or error, 160)
