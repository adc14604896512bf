"""Where engines keep what they made of a network, and under which name."""

import hashlib
import inspect
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanet.files import make_folder

_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))


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
        settings = {key: value for key, value in vars(module).items() if isinstance(value, _PLAIN) and key[0] != "_"}
        settings.pop("training", None)
        found.update(json.dumps([name, type(module).__qualname__, settings], sort_keys=True, default=str).encode())
        sources.add(inspect.getsourcefile(type(module)))
    for source in sorted(filter(None, sources)):
        found.update(Path(source).read_bytes())
    for name, tensor in sorted(network.state_dict().items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:24]
