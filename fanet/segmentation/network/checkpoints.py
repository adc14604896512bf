"""What a bare checkpoint of a segmentation model says about the model, read from its tensors and its `meta`."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.segmentation.network.decoders.upernet import POOL_SCALES
from fanet.segmentation.preprocessing import Preprocessing
from fanet.weights.failures import WeightsError
from fanet.weights.names import backbone_names, backbone_state_dict, unwrap
from fanet.weights.variants import find_variant

# The published test protocol of the authors' MMSegmentation configuration; see `Preprocessing`.
PUBLISHED = Preprocessing(fit=(2048, 512), multiple=32)

DROPOUT = 0.1  # MMSegmentation's default; a checkpoint does not hold it

# The entries of a training run's checkpoint.
_RUN = {"model", "ema", "optimizer", "progress", "recipe"}


def is_run_checkpoint(checkpoint: Mapping[str, Any]) -> bool:
    """Return whether it is the `last.pt` of a training run, which has neither classes nor preprocessing."""
    return checkpoint.keys() >= _RUN


def is_segmentation(names: Iterable[str]) -> bool:
    """Return whether bare names are those of a whole segmentation model, not of a backbone."""
    return any(name.startswith("decode_head.") for name in names)


def segmentation_names(names: Iterable[str]) -> dict[str, str]:
    """Map bare names to this project's, for a segmentation model; the heads have MMSegmentation's names in both."""
    names = list(names)
    heads = {name: name for name in names if not name.startswith("backbone.")}
    return {name: f"backbone.model.{native}" for name, native in backbone_names(names).items()} | heads


def segmentation_state_dict(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a UperNet with a FANet under this project's names, from either layout."""
    tensors = unwrap(checkpoint)
    return {native: tensors[name] for name, native in segmentation_names(tensors).items()}


def describe_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `SegmentationModel` for a checkpoint with a FANet, MMSegmentation's or this project's.

    Backbone and widths follow from the tensors, names and colours from the file's `meta`. MMSegmentation's come with
    the published test protocol, and with ZeroWaste's classes if they have five without names, as the authors' have.

    Raises:
        WeightsError: It is not such a checkpoint.
    """
    tensors = unwrap(checkpoint)
    if not is_segmentation(tensors):
        raise WeightsError("it holds a backbone, not a segmentation model: load it with timm.create_model")
    backbone, backbone_kwargs = find_variant(backbone_state_dict(checkpoint))
    num_classes, head_channels = _shape(tensors, "decode_head.conv_seg.weight")[:2]
    auxiliary = "auxiliary_head.convs.0.conv.weight"
    pools = {name.split(".")[2] for name in tensors if name.startswith("decode_head.psp_modules.")}
    if len(pools) != len(POOL_SCALES):  # a checkpoint shows only how many there are
        raise WeightsError(f"its head pools to {len(pools)} scales, not to UperNet's {POOL_SCALES}")
    native = any(name.startswith("backbone.model.") for name in tensors)
    return dict(
        backbone=backbone,
        num_classes=num_classes,
        decoder="upernet",
        head_channels=head_channels,
        decoder_kwargs={"pool_scales": list(POOL_SCALES)},
        aux_channels=_shape(tensors, auxiliary)[0] if auxiliary in tensors else 0,
        dropout=DROPOUT,
        backbone_kwargs=backbone_kwargs,
        classes=_classes(checkpoint.get("meta"), num_classes) or _unnamed(num_classes, native),
        preprocessing=None if native else PUBLISHED,
    )


def _unnamed(num_classes: int, native: bool) -> ClassScheme:
    """The classes of a file that does not name them."""
    return ZEROWASTE if not native and num_classes == len(ZEROWASTE) else ClassScheme.numbered(num_classes)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors or tensors[name].dim() != 4:
        raise WeightsError(f"it is not a UperNet: {name} is missing or has another shape")
    return tuple(tensors[name].shape)


def _classes(meta: Any, num_classes: int) -> ClassScheme | None:
    """Return names and colours as MMSegmentation 0.x and 1.x store them; None without valid names."""
    if not isinstance(meta, Mapping):
        return None
    noted = meta.get("dataset_meta")
    noted = noted if isinstance(noted, Mapping) else {}
    names: Any = meta.get("CLASSES") or noted.get("classes")
    palette: Any = meta.get("PALETTE") or noted.get("palette")
    if not _all(names, str, num_classes) or len(set(names)) != num_classes:
        return None
    if _all(palette, (list, tuple), num_classes) and all(_all(colour, int, 3) for colour in palette):
        return ClassScheme(tuple(names), tuple((red, green, blue) for red, green, blue in palette))
    own = ZEROWASTE if tuple(names) == ZEROWASTE.names else ClassScheme.numbered(num_classes)
    return ClassScheme(tuple(names), own.palette)


def _all(values: Any, kind: Any, count: int) -> bool:
    return isinstance(values, (list, tuple)) and len(values) == count and all(isinstance(v, kind) for v in values)
