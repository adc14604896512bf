"""Where the weights of a run come from: a trained model, and what of it stays as it is."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.network.saving import BEST, FINAL
from fanet.segmentation.network.shipped import load_model

# The classifiers of the decoder and of the auxiliary head: their channels are the classes.
_CLASSIFIER = "conv_seg"


def start_from(network: SegmentationModel, name: str) -> list[str]:
    """Give a network the weights of a trained model, as far as they fit, and its normalisation of images.

    The backbone must be the same. A classifier is taken only if both models have the same classes in the same order;
    of the heads, whatever has the same name and shape.

    Args:
        network: The network to train; it is changed.
        name: A model, the folder of a run, a Hub id, or the name of a model inside the package.

    Returns:
        A line for each thing that was not taken.

    Raises:
        UserError: There is no such model, or it has another backbone.
    """
    try:
        source = _load(name)
    except UserError as error:  # about a model, without the key that names it
        raise UserError(f"model.init_from: {error}") from error
    own, given = network.state_dict(), source.state_dict()
    same_classes = source.classes.names == network.classes.names
    taken = {
        key: value
        for key, value in given.items()
        if key in own and own[key].shape == value.shape and (same_classes or _CLASSIFIER not in key)
    }
    missing = [key for key in own if key not in taken]
    if left := [key for key in missing if key.startswith("backbone.")]:
        ours, theirs = network.config["backbone"], source.config["backbone"]
        cure = (
            f"set model.backbone={theirs}" if ours != theirs else "its model.backbone_kwargs differ: set them as there"
        )
        raise UserError(f"model.init_from: {name} does not fit the backbone {ours} ({shortened(left, 1)}): {cure}")
    network.load_state_dict(taken, strict=False)
    mean, std = source.preprocessing.mean, source.preprocessing.std
    network.preprocessing = replace(network.preprocessing, mean=mean, std=std)
    return _not_taken(name, source.classes, missing, same_classes)


def _load(name: str) -> SegmentationModel:
    folder = Path(name).expanduser()
    for model in (BEST, FINAL):
        if (folder / model / "config.json").is_file() and not (folder / "config.json").is_file():
            return load_model(folder / model)
    return load_model(name)


def _not_taken(name: str, classes: ClassScheme, missing: list[str], same_classes: bool) -> list[str]:
    """Say in a line each what of the network keeps its random weights."""
    lines = []
    if not same_classes:
        lines.append(f"the classifiers start anew: {name} has other classes ({shortened(classes.names, 8)})")
    others = [key for key in missing if same_classes or _CLASSIFIER not in key]
    if others:
        lines.append(
            f"{len(others)} tensors start anew, which {name} lacks or has in another shape: {shortened(others)}"
        )
    return lines


def freeze(backbone: nn.Module) -> None:
    """Keep a backbone as it is in training: no gradients, no dropout, no new statistics of batch norm."""
    backbone.requires_grad_(False)
    backbone.eval()
