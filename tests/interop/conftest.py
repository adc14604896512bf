"""The versions that are tested, in the header of the run."""

from importlib.metadata import version

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
    "thop",
    "torchinfo",
)


def pytest_report_header() -> str:
    return "libraries: " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
