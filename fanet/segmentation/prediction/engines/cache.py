"""Where engines keep what they made of a network, and under which name."""

import hashlib
import inspect
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanet.files import make_folder

# What every module has: its mode, its hooks, and parts that are hashed by themselves.
_NO_SETTINGS = vars(nn.Module()).keys()


def cache_folder() -> Path:
    """Return `$FANET_CACHE`, by default `fanet` in the user's folder for caches; its files may be deleted at any time.

    Raises:
        UserError: It cannot be created.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return make_folder(os.environ.get("FANET_CACHE") or Path(base) / "fanet")


def digest(network: nn.Module, *others: Any) -> str:
    """Return a name for a network: equal for equal weights, settings and source files of its modules.

    Args:
        network: The network.
        others: Whatever else the cached file depends on.
    """
    found = hashlib.sha256(repr((version("fanet"), others)).encode())
    sources = set()
    for name, module in network.named_modules():
        settings = {key: value for key, value in vars(module).items() if key not in _NO_SETTINGS}
        found.update(repr((name, type(module).__qualname__, _stable(settings))).encode())
        try:
            sources.add(inspect.getsourcefile(type(module)))
        except (OSError, TypeError):  # a class from a notebook
            found.update(type(module).forward.__code__.co_code)
        if isinstance(module, torch.fx.GraphModule):
            found.update(module.code.encode())
    for source in sorted(filter(None, sources)):
        found.update(Path(source).read_bytes())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]


def _stable(value: Any) -> Any:
    """Return what has the same `repr` in every process: of objects only the name or the type."""
    if isinstance(value, dict):
        return sorted((repr(_stable(key)), _stable(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple | set):
        entries = [_stable(entry) for entry in value]
        return sorted(entries, key=repr) if isinstance(value, set) else entries
    if isinstance(value, (bool, int, float, str, bytes, type(None), torch.dtype)):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)
