"""The one place that opens weight files, and the list of what a pickle among them may name.

Pickles are read with torch's `weights_only` unpickler, which runs nothing that is not on a list. torch's own list has
what tensors need. `_ALLOWED` adds what train scripts leave beside the tensors: numpy scalars, and configuration objects
of MMSegmentation's world. The names of the latter lead to empty stand-ins: neither their packages nor their code are
needed.
"""

import argparse
import importlib.util
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fanet.errors import one_line
from fanet.weights.failures import WeightsError
from fanet.weights.names import raw_tensors

SAFETENSORS = ".safetensors"


class _Nothing:
    """Stands in for an object of a training framework: takes any arguments and any state, and keeps none."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _EmptyMapping:
    """Stands in for a dictionary of a training framework.

    The unpickler puts items only into plain dictionaries, so making one of these yields such a dictionary, which nobody
    looks at.
    """

    def __new__(cls, *args: Any) -> Any:
        return OrderedDict()


_scalar: Any = np.float64(0).__reduce__()[0]  # numpy's own constructor of scalars; its home differs between versions

_NUMPY: dict[str, Callable] = {
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": np.dtype,
    **{
        f"numpy.dtypes.{type(dtype).__name__}": type(dtype)
        for dtype in map(np.dtype, ("float64", "float32", "float16", "int64", "int32", "bool"))
    },
}
_CONFIGURATIONS: dict[str, Callable] = {
    "addict.addict.Dict": _EmptyMapping,
    "mmcv.utils.config.ConfigDict": _EmptyMapping,
    "mmcv.utils.config.Config": _Nothing,
    "mmengine.config.config.ConfigDict": _EmptyMapping,
    "mmengine.config.config.Config": _Nothing,
    "mmengine.config.lazy.LazyObject": _Nothing,
    "mmengine.config.lazy.LazyAttr": _Nothing,
    "mmengine.logging.history_buffer.HistoryBuffer": _Nothing,
}
# A HistoryBuffer holds arrays and its own methods, the latter spelled as getattr(class, name).
_HISTORY: dict[str, Callable] = {
    "numpy.core.multiarray._reconstruct": _Nothing,
    "numpy._core.multiarray._reconstruct": _Nothing,
    "numpy.ndarray": _Nothing,
    "builtins.getattr": _Nothing,
}
_ALLOWED = {"argparse.Namespace": argparse.Namespace} | _NUMPY | _CONFIGURATIONS | _HISTORY


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """The contents of a weight file, on the CPU: safetensors, or a pickle of which nothing is run.

    Raises:
        WeightsError: the file is missing, empty, broken, no checkpoint, or names what is not allowed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if not head:
            raise WeightsError(f"{path} is empty: copy or download it again")
        # safetensors: the length of the header in 8 bytes, then the header, which is JSON
        safe = path.suffix == SAFETENSORS or head[8:] == b"{"
        checkpoint = load_file(path) if safe else _load_pickle(path)
    except FileNotFoundError:
        raise WeightsError(f"there is no file {path}") from None
    except SafetensorError as error:
        raise WeightsError(
            f"{path} is a broken safetensors file ({one_line(error)}): copy or download it again"
        ) from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or one_line(error)}") from error
    if not isinstance(checkpoint, Mapping):
        raise WeightsError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint: name a file with weights")
    if not raw_tensors(checkpoint):
        raise WeightsError(f"{path} holds no weights: name a checkpoint file")
    return dict(checkpoint)


def allow_in_timm() -> None:
    """Let torch's unpickler accept what `_ALLOWED` names also where timm opens the file, as for `checkpoint_path=`.

    This concerns the whole process, so it is done late, and leaves out the stand-ins of packages that are installed:
    whoever has them may want the real classes.
    """
    absent = {name: stand_in for name, stand_in in _CONFIGURATIONS.items() if not _installed(name.split(".")[0])}
    torch.serialization.add_safe_globals(_not_yet_allowed(_NUMPY | absent))


def _installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _load_pickle(path: Path) -> Any:
    with _allowed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols that torch itself does not write
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # garbage makes the unpickler fail in every way there is
            if blocked := _blocked_globals(path, error):
                raise WeightsError(
                    f"{path} was not loaded, because it wants to run code ({', '.join(blocked)}): "
                    "ask for a safetensors file or a plain state dict"
                ) from error
            reason = one_line(f"{type(error).__name__}: {error}", 120)
            raise WeightsError(
                f"{path} is broken or no checkpoint ({reason}): copy, download or save it again"
            ) from error


def _blocked_globals(path: Path, error: Exception) -> list[str]:
    """The names in a pickle that led to its refusal; empty where it failed for another reason."""
    named = re.findall(r"GLOBAL (\S+)", str(error))
    if not named:
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path)) or sorted(set(named))
    except Exception:  # it reads torch's newer file format only
        return sorted(set(named))


@contextmanager
def _allowed() -> Iterator[None]:
    with torch.serialization.safe_globals(_not_yet_allowed(_ALLOWED)):
        yield


def _not_yet_allowed(entries: Mapping[str, Callable]) -> list[Any]:
    """Pairs for torch's list, without the names that this process has put there: those keep their meaning."""
    present = {
        entry[1] if isinstance(entry, tuple) else f"{entry.__module__}.{entry.__qualname__}"
        for entry in torch.serialization.get_safe_globals()
    }
    return [(value, name) for name, value in entries.items() if name not in present]
