"""Decoders, one file each: every module of this folder is imported and registers its decoders."""

from importlib import import_module
from pkgutil import iter_modules

from fanet.segmentation.network.decoders.base import Decoder, decoder_class, list_decoders, register_decoder

__all__ = ["Decoder", "decoder_class", "list_decoders", "register_decoder"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
