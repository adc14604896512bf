"""Convert weights in any layout to a folder with `model.safetensors` and `config.json`, and report every name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf
from torch import nn

from fanet.errors import UserError, one_line
from fanet.files import atomic_folder
from fanet.segmentation import SegmentationModel
from fanet.segmentation.network.checkpoints import is_segmentation, segmentation_names
from fanet.segmentation.network.half import scale_for_half
from fanet.segmentation.network.saving import HUB_ID
from fanet.weights.failures import WeightsError
from fanet.weights.hub import Repository
from fanet.weights.loading import load_checkpoint
from fanet.weights.names import (
    backbone_names,
    backbone_state_dict,
    bare_names,
    raw_tensors,
    unwrap,
)
from fanet.weights.sources import CONFIG_NAME, Folder, Source, find_checkpoint
from fanet.weights.train_script import evaluation_cfg
from fanet.weights.variants import find_variant, num_classes

TRIAL_SIZE = 64  # pixels; two cells in the coarsest map


@dataclass(frozen=True)
class Row:
    """A tensor: its name in the source, its name now, its shape."""

    old: str
    new: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """What a conversion did; `output` is the shape that a 64x64 image gave in the trial run."""

    source: str
    target: Path
    kind: str
    model: str
    rows: tuple[Row, ...]
    parameters: int
    output: tuple[int, ...]

    def __str__(self) -> str:
        """Return a table of all names with a summary below it."""
        old = max(len(row.old) for row in self.rows)
        new = max(len(row.new) for row in self.rows)
        table = [
            f"{row.old:<{old}}  {row.new:<{new}}  {'x'.join(map(str, row.shape)) or 'scalar'}" for row in self.rows
        ]
        summary = (
            f"{self.kind}, {self.model}: {len(self.rows)} tensors, {self.parameters:,} parameters, loaded strictly; "
            f"3x{TRIAL_SIZE}x{TRIAL_SIZE} -> {'x'.join(map(str, self.output[1:]))}; in {self.target}"
        )
        return "\n".join([*table, summary])


def convert(source: str | PathLike[str], target: str | PathLike[str], float16: bool = False) -> Report:
    """Convert weights in any layout to a folder with `model.safetensors` and `config.json`.

    A backbone becomes what timm loads by `local-dir:` and, once pushed, by `hf-hub:`; a segmentation model becomes what
    `SegmentationModel.from_pretrained` loads. The result is loaded strictly and run once before the folder appears.

    Args:
        source: A checkpoint file, a folder that holds one, or a Hub id `ORG/NAME`.
        target: The folder to create; it may exist if it is empty.
        float16: Scale the decoder of a segmentation model so that it fits float16; see `scale_for_half`.

    Returns:
        The old and new name of every tensor; `str()` of it is a table.

    Raises:
        UserError: The source cannot be used, or the target is not empty.
    """
    folder = Path(target).expanduser()
    _check_target(folder, source)
    path, checkpoint = _open(source)
    segmentation = is_segmentation(unwrap(checkpoint))
    net = SegmentationModel.from_pretrained(path) if segmentation else _backbone(path, checkpoint)
    if float16:
        scale_for_half(net)
    rows = _rows(checkpoint, net)
    output = _trial(net)
    _write(net, folder)
    return Report(
        source=str(source),
        target=folder,
        kind="segmentation model" if segmentation else "backbone",
        model=net.config["backbone"] if isinstance(net, SegmentationModel) else _cfg(net)["architecture"],
        rows=rows,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        output=output,
    )


def _check_target(folder: Path, source: str | PathLike[str]) -> None:
    if folder.exists() and not Path(source).expanduser().exists() and not HUB_ID.fullmatch(str(source)):
        raise UserError(f"there is no {source}, but there is a {folder}: the source comes first, then the target")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"the folder {folder} is not empty: name a new one")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: name a new folder")


def _open(name: str | PathLike[str]) -> tuple[Path, dict[str, Any]]:
    """Return the file of the weights, and its contents."""
    path = Path(name).expanduser()
    if path.is_file():
        return path, load_checkpoint(path)
    if path.is_dir():
        place: Source = Folder(path)
    elif HUB_ID.fullmatch(str(name)):
        place = Repository(str(name), str(name))
        if CONFIG_NAME in place.files:
            place.fetch(CONFIG_NAME)  # it lands beside the weights
    else:
        raise UserError(f"{name}: no such folder or file; give one that holds weights, or a Hub id ORG/NAME")
    return find_checkpoint(place, "a FANet", _recognised)


def _recognised(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the checkpoint itself if it holds a FANet or a whole segmentation model."""
    if not is_segmentation(unwrap(checkpoint)):
        find_variant(backbone_state_dict(checkpoint))
    return dict(checkpoint)


def _backbone(path: Path, checkpoint: Mapping[str, Any]) -> nn.Module:
    """Build the classifier from the timm configuration beside the file, or else from its tensors."""
    tensors = backbone_state_dict(checkpoint)
    variant, arguments = find_variant(tensors)
    others: dict[str, Any] = {"tag": None, "notes": None}  # what the variant's published weights say of themselves
    overlay = {"num_classes": num_classes(tensors)} | others | evaluation_cfg(checkpoint, variant)
    if path.with_name(CONFIG_NAME).is_file():
        overlay = _described(path.with_name(CONFIG_NAME)) | overlay
    net = timm.create_model(variant, pretrained_cfg_overlay=overlay, **arguments)
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit {variant}: {one_line(error, 200)}") from error
    return net.eval()


def _described(config_path: Path) -> dict[str, Any]:
    """Return what a timm configuration says besides the network: preprocessing, labels, licence."""
    try:
        cfg = json.loads(config_path.read_text(encoding="utf-8")).get("pretrained_cfg", {})
        known = timm.models.PretrainedCfg(**cfg).to_dict(remove_source=True)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{config_path}: not readable as timm's configuration ({one_line(error)})") from error
    return {key: value for key, value in known.items() if key not in ("architecture", "tag", "custom_load")}


def _rows(checkpoint: Mapping[str, Any], net: nn.Module) -> tuple[Row, ...]:
    raw = raw_tensors(checkpoint)
    by_file = bare_names(raw)
    bare = list(by_file.values())
    renamed = {name: name for name in bare}
    if renamed.keys() != net.state_dict().keys():
        renamed = segmentation_names(bare) if isinstance(net, SegmentationModel) else backbone_names(bare)
    return tuple(Row(name, renamed[bare], tuple(raw[name].shape)) for name, bare in by_file.items())


def _cfg(net: nn.Module) -> dict[str, Any]:
    cfg: Any = net.pretrained_cfg
    return cfg


@torch.inference_mode()
def _trial(net: nn.Module) -> tuple[int, ...]:
    """Run one grey image and return the shape of the output."""
    weight = next(net.parameters())
    in_chans = net.in_chans if isinstance(net, SegmentationModel) else _stem_channels(net)
    output = net(torch.full((1, in_chans, TRIAL_SIZE, TRIAL_SIZE), 0.5, dtype=weight.dtype))
    if not output.isfinite().all():
        raise WeightsError("the weights are unusable: a trial run gave values that are not finite")
    return tuple(output.shape)


def _stem_channels(net: nn.Module) -> int:
    stem: Any = net.stem
    return stem.in_channels


def _write(net: nn.Module, folder: Path) -> None:
    """Write the folder whole or not at all; it may be there already, if it is empty."""
    with atomic_folder(folder) as temporary:
        if isinstance(net, SegmentationModel):
            net.save_pretrained(temporary)
        else:
            save_for_hf(net, str(temporary), safe_serialization=True)
