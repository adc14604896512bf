"""`fanet --version`, and with `--verbose` what a report of a bug needs."""

import importlib.metadata
import os
import platform
import re

from fanet import __version__

_NOT_ASKED = ("dev", "interop", "all")  # extras that are for working on this package, or stand for others


def version_lines(verbose: bool) -> list[str]:
    """Return the version of this package; if `verbose`, also those of what it uses, and the machine."""
    lines = [f"fanet {__version__}"]
    if not verbose:
        return lines
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return [
        *lines,
        f"python {platform.python_version()} on {platform.platform()}",
        *_packages(),
        f"{os.cpu_count()} processors ({torch.backends.cpu.get_cpu_capability()}), {torch.get_num_threads()} threads",
        f"GPU: {gpu}; CUDA of torch: {torch.version.cuda or 'none'}",
    ]


def _packages() -> list[str]:
    """Return a line for every package that this one or one of its extras requires."""
    found: dict[str, str] = {}
    for requirement in importlib.metadata.requires("fanet") or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if name == "fanet" or (extra and extra[1] in _NOT_ASKED):
            continue
        try:
            found.setdefault(name, f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.setdefault(name, f"{name} not installed" + (f" (extra {extra[1]})" if extra else ""))
    return list(found.values())
