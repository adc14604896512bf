"""Whether a checkpoint belongs to a network: by the names and shapes of its tensors."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor, nn

from fanet.weights.failures import WeightsError
from fanet.weights.names import backbone_state_dict, holds_backbone, unwrap

STEM = "stem.weight"
CLASSIFIER = ("head.fc.weight", "head.fc.bias")

_logger = logging.getLogger(__name__)


def fit_backbone(checkpoint: Mapping[str, Any], model: nn.Module, warn: bool = True) -> dict[str, Tensor]:
    """Whatever a checkpoint file held -> the tensors of a FANet `model`, by this project's names; idempotent.

    All names and shapes must be the network's. Only the classification head may be missing, as it is in a segmentation
    model, and the numbers of classes and of input channels may differ: timm adapts those. Where the whole head is
    missing, that of `model` takes its place, with a warning unless `warn` is off.

    Raises:
        WeightsError: tensors of the backbone are missing, or some belong to another network.
    """
    tensors = backbone_state_dict(checkpoint)
    expected = model.state_dict()
    if not any(name.startswith("head.") for name in expected):  # a network pruned for its features
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    tensors = {name: tensor for name, tensor in tensors.items() if name in expected or name not in CLASSIFIER}
    missing = sorted(name for name in expected.keys() - tensors.keys() if not name.startswith("head."))
    unexpected = sorted(tensors.keys() - expected.keys())
    reshaped = sorted(name for name, t in tensors.items() if name in expected and not _alike(name, t, expected[name]))
    if missing or unexpected or reshaped:
        parts = ((missing, "missing"), (unexpected, "unknown"), (reshaped, "of another shape"))
        found = ", ".join(f"{len(names)} {what}{_examples(names)}" for names, what in parts if names)
        raise WeightsError(f"the tensors are not those of this network: {found}; check the variant and its arguments")
    return complete_head(tensors, model, warn)


def complete_head(tensors: Mapping[str, Tensor], model: nn.Module, warn: bool = True) -> dict[str, Tensor]:
    """The tensors, with the head of `model` added where they have none, in their type."""
    head = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("head.")}
    if not head or any(name.startswith("head.") for name in tensors):
        return dict(tensors)
    if warn:
        _logger.warning("The checkpoint has no classification head: it keeps its initial values.")
    return {**tensors, **head}


def fit_published(
    checkpoint: Mapping[str, Any], model: nn.Module, num_classes: int, in_chans: int
) -> dict[str, Tensor]:
    """Like `fit_backbone`, for weights of which everything is known: the head must be there, and every size match.

    Raises:
        WeightsError: it is another network, a segmentation model, or made for other classes or channels.
    """
    if holds_backbone(unwrap(checkpoint)):
        raise WeightsError("it is a segmentation model, not a classifier")
    tensors = fit_backbone(checkpoint, model, warn=False)
    source = backbone_state_dict(checkpoint)
    if not {"head.norm.weight", "head.norm.bias", *CLASSIFIER} <= source.keys():
        raise WeightsError("it has no classification head")
    if source[CLASSIFIER[0]].shape[0] != num_classes or source[STEM].shape[1] != in_chans:
        raise WeightsError(
            f"it was made for {source[CLASSIFIER[0]].shape[0]} classes and {source[STEM].shape[1]} channels, "
            f"not {num_classes} and {in_chans}"
        )
    return tensors


def _alike(name: str, tensor: Tensor, reference: Tensor) -> bool:
    """Whether shapes agree, up to what timm adapts."""
    if name == STEM:
        return tensor.dim() == 4 and tensor[:, :1].shape == reference[:, :1].shape
    if name in CLASSIFIER:
        return tensor.shape[1:] == reference.shape[1:]
    return tensor.shape == reference.shape


def _examples(names: Collection[str]) -> str:
    first = list(names)[:3]
    return f" ({', '.join(first)}{', …' if len(names) > len(first) else ''})" if names else ""
