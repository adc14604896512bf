"""The versions that are tested, in the header of the run."""

import ast
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it asks PyPI for newer versions when it is imported

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "transformers",
    "peft",
    "opacus",
    "captum",
    "torch-pruning",
    "torchao",
    "lightning",
    "supervision",
    "pycocotools",
    "albumentations",
    "kornia",
    "ray",
    "lightly",
    "thop",
    "torchinfo",
)


#: `make test-interop` installs them there.
LABEL_TOOLS_PYTHON = Path(__file__).parents[2] / ".venv-label-tools" / "bin" / "python"
LABEL_TOOLS = ("datumaro", "fiftyone", "label-studio-sdk", "labelme")


@pytest.fixture(scope="session")
def label_tools_python() -> Path:
    """The interpreter that has the label tools."""
    return LABEL_TOOLS_PYTHON


def pytest_report_header() -> list[str]:
    script = f"from importlib.metadata import version; print([version(name) for name in {LABEL_TOOLS}])"
    found = subprocess.run([LABEL_TOOLS_PYTHON, "-c", script], capture_output=True, text=True, check=True).stdout
    tools = zip(LABEL_TOOLS, ast.literal_eval(found), strict=True)
    return [
        "libraries: " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "label tools: " + ", ".join(f"{name} {number}" for name, number in tools),
    ]
