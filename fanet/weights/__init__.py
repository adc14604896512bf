"""How numbers enter and leave: the authors' parameter names, checkpoint files, the Hub, and what they turn into."""

from collections.abc import Callable
from typing import Any

from fanet.weights.failures import WeightsError

__all__ = ["WeightsError", "convert"]

#: `fanet.conversion.convert`, bound when `fanet` is imported: converting knows segmentation models too, and nothing
#: here does.
convert: Callable[..., Any]
