"""What a result was computed with."""

import importlib.metadata
import json
import platform
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

PACKAGES = ("fanet", "torch", "torchvision", "timm", "accelerate", "numpy", "pillow", "opencv-python-headless")


def describe_environment(accelerator: "Accelerator") -> str:
    """Return versions, machine and processes as JSON text; the version of a package without metadata is null."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
        "device": str(accelerator.device),
        "gpu": torch.cuda.get_device_name(accelerator.device) if accelerator.device.type == "cuda" else None,
        "cuda": torch.version.cuda,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
    }
    return json.dumps(environment, indent=1)
