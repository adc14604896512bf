"""Places that hold several files, and how the right one among them is found."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fanet.weights.failures import WeightsError
from fanet.weights.loading import SAFETENSORS, load_checkpoint

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
CHECKPOINT_SUFFIXES = (SAFETENSORS, ".pth", ".pt", ".tar", ".bin", ".ckpt")

T = TypeVar("T")


class Source(Protocol):
    """A folder on this machine or a repository on the Hub."""

    @property
    def files(self) -> Mapping[str, int]:
        """Size in bytes by name."""

    def fetch(self, name: str) -> Path:
        """The path of a file, downloaded and checked where needed."""

    def discard(self, path: Path) -> None:
        """Forget a file that turned out to be broken."""

    def recall(self, purpose: str) -> str | None:
        """The name of the file that was found right for a purpose before."""

    def remember(self, purpose: str, name: str) -> None:
        """Keep that name for the next time."""

    def failure(self, reason: str) -> WeightsError:
        """An error that names this place."""


class Folder:
    """A folder on this machine; see `Source`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def files(self) -> dict[str, int]:
        """Size in bytes by name, subfolders left out."""
        return {file.name: file.stat().st_size for file in self.path.iterdir() if file.is_file()}

    def fetch(self, name: str) -> Path:
        """The path of a file."""
        return self.path / name

    def discard(self, path: Path) -> None:
        """Leaves the user's file alone."""

    def recall(self, purpose: str) -> str | None:
        """Nothing: looking again costs little."""
        return None

    def remember(self, purpose: str, name: str) -> None:
        """Does nothing."""

    def failure(self, reason: str) -> WeightsError:
        """An error that names the folder."""
        return WeightsError(f"the folder {self.path}: {reason}")


def checkpoint_names(files: Mapping[str, int]) -> list[str]:
    """The files that may hold weights: safetensors first, then what is called best, then the smallest."""

    def order(name: str) -> tuple[bool, bool, bool, int, str]:
        return name != WEIGHTS_NAME, not name.endswith(SAFETENSORS), "best" not in name, files[name], name

    return sorted((name for name in files if name.endswith(CHECKPOINT_SUFFIXES)), key=order)


def find_checkpoint(source: Source, purpose: str, fit: Callable[[dict[str, Any]], T]) -> tuple[Path, T]:
    """The first file whose contents fit, and what `fit` made of them.

    Args:
        source: Where to look.
        purpose: What the weights are for; the choice is remembered under it.
        fit: Raises a WeightsError for contents that are not wanted.

    Raises:
        WeightsError: no file fits, or a safetensors file is broken: then the next best would be the wrong one.
    """
    names = checkpoint_names(source.files)
    if (recalled := source.recall(purpose)) in names:
        names = [recalled, *(name for name in names if name != recalled)]
    refused = []
    for name in names:
        path = source.fetch(name)
        try:
            checkpoint = load_checkpoint(path)
        except WeightsError as error:
            source.discard(path)
            if name.endswith(SAFETENSORS):
                raise source.failure(str(error)) from error
            refused.append(f"{name}: {error}")
            continue
        try:
            result = fit(checkpoint)
        except WeightsError as error:
            refused.append(f"{name}: {error}")
            continue
        source.remember(purpose, name)
        return path, result
    looked_at = "; ".join(refused) or f"no file ends in {' '.join(CHECKPOINT_SUFFIXES)}"
    raise source.failure(f"no file holds weights for {purpose} ({looked_at})")
