"""How numbers enter and leave: the authors' parameter names, checkpoint files, the Hub, and what they turn into."""

from os import PathLike
from typing import TYPE_CHECKING

from fanet.weights.failures import WeightsError

if TYPE_CHECKING:
    from fanet.conversion import Report

__all__ = ["WeightsError", "convert"]


def convert(source: str | PathLike[str], target: str | PathLike[str]) -> "Report":
    """Turn weights in any layout into a folder with `model.safetensors` and `config.json`.

    A backbone becomes what timm loads by `local-dir:` and, once pushed, by `hf-hub:`; a segmentation model becomes what
    `UperNet.from_pretrained` loads. The result has been loaded strictly and run once before the folder appears.

    Args:
        source: A checkpoint file, a folder that holds one, or a Hub id `ORG/NAME`.
        target: The folder to make; it may exist if it is empty.

    Returns:
        What became of every name; `str()` of it is a table.

    Raises:
        UserError: the source cannot be used, or the target holds something.
    """
    from fanet.conversion import convert as run  # it builds models, and building models imports this package

    return run(source, target)
