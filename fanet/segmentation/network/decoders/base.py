"""The base class of decoders, and their registry."""

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, TypeVar, overload

import torch
from torch import nn

from fanet.errors import UserError, one_line

#: The group of entry points by which installed packages add their own decoders.
ENTRY_POINTS = "fanet.decoders"

_decoders: dict[str, type["Decoder"]] = {}

DecoderT = TypeVar("DecoderT", bound=type["Decoder"])


class Decoder(nn.Module):
    """Turns the feature maps of a backbone into an embedding: one vector for each position of a map.

    The rest belongs to `SegmentationModel`: dropout and the classifier on the embedding, the auxiliary head, images of
    any size. A subclass is built with `(channels, reductions, width, **decoder_kwargs)`: the channels of the maps and
    their strides in pixels of the image, both finest map first, and `head_channels`.

    Args:
        width: Channels of the embedding, usually `head_channels`.
    """

    if TYPE_CHECKING:  # TorchScript knows no such types for attributes
        # Set by the model. They are here because published checkpoints name the classifier `decode_head.conv_seg`.
        dropout: nn.Module
        conv_seg: nn.Conv2d

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def embed(self, features: list[torch.Tensor]) -> torch.Tensor:
        """[(B, C_1, H/r_1, W/r_1), …, (B, C_n, H/r_n, W/r_n)], finest first -> (B, width, h, w), at any scale"""
        raise NotImplementedError(f"{type(self).__name__} must define embed(features)")

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The maps of the backbone, finest first -> logits (B, num_classes, h, w) at the scale of the embedding"""
        return self.conv_seg(self.dropout(self.embed(features)))


@overload
def register_decoder(cls: DecoderT) -> DecoderT: ...


@overload
def register_decoder(*, name: str) -> Callable[[DecoderT], DecoderT]: ...


def register_decoder(cls: DecoderT | None = None, *, name: str | None = None) -> DecoderT | Callable:
    """Register a decoder, as a decorator of its class. The same class again, from a notebook's cell, replaces itself.

    Args:
        cls: A subclass of `Decoder`.
        name: Its name in models, recipes and config.json; by default the class's name in lower case.

    Raises:
        UserError: it is no subclass of `Decoder`, or another class has that name. The same class again, as from a
            notebook's cell, replaces the earlier.
    """
    return partial(_register, name=name) if cls is None else _register(cls, name)


def decoder_class(name: str) -> type[Decoder]:
    """Return the decoder registered under a name. The name never causes an import.

    Raises:
        UserError: No decoder of that name is registered.
    """
    _load_entry_points()
    if not isinstance(name, str) or name not in _decoders:
        raise UserError(
            f"there is no decoder {name!r}: import the module that registers it first, on the command line with "
            f"--import FILE; registered: {', '.join(list_decoders())}"
        )
    return _decoders[name]


def list_decoders() -> list[str]:
    """Return the names of all registered decoders."""
    _load_entry_points()
    return sorted(_decoders)


def _register(cls: DecoderT, name: str | None) -> DecoderT:
    if not (isinstance(cls, type) and issubclass(cls, Decoder)):
        raise UserError(f"{cls!r} is no subclass of fanet.segmentation.Decoder: a name is given as name=…")
    name = name or cls.__name__.lower()
    known = _decoders.get(name)
    if known is not None and not _is_same(known, cls):
        raise UserError(
            f"the name {name!r} belongs to the decoder {known.__qualname__} of {_file(known) or known.__module__}: "
            f"register {cls.__qualname__} under another one, @register_decoder(name=…)"
        )
    _decoders[name] = cls
    return cls


def _is_same(known: type, cls: type) -> bool:
    """Whether two classes come from the same place: a cell run again, or a file imported under two names."""
    if known.__qualname__ != cls.__qualname__:
        return False
    return known.__module__ == cls.__module__ or (_file(known) is not None and _file(known) == _file(cls))


def _file(cls: type) -> str | None:
    """The file that a class was imported from; None for one of a notebook."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return None if file is None else os.path.realpath(file)


@cache
def _load_entry_points() -> None:
    """Import the decoders of all installed packages, whatever name is asked for."""
    for entry_point in entry_points(group=ENTRY_POINTS):
        try:
            entry_point.load()
        except Exception as error:  # one broken package must not disable the other decoders
            warnings.warn(f"the decoder {entry_point.name} cannot be imported: {one_line(error)}", stacklevel=2)
