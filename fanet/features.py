"""What the feature refinement module (FRM) sees in an image: the paper's Figure 6."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from fanet.backbone.blocks import AdaptiveFeatureEnhancement
from fanet.classes import colour_blind_safe
from fanet.errors import UserError
from fanet.files import make_folder
from fanet.media.drawing import enlarge, overlay
from fanet.media.images import read_image, read_labels
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.evaluation.plots import Panel, plot_panels
from fanet.segmentation.network.model import SegmentationModel

_PLACE = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.")
#: What the maps of an FRM are, in the order in which they come about.
TITLES = {"F": "F: input", "S": "S = F · Q: low", "R": "R = F − Q: high", "output": "output"}
_CONTEXT = "context"
_PADDED = 3  # positions at each edge whose values are mostly those of zero padding
_IMAGE_SIDE = 400  # pixels to which small images are enlarged before they are outlined


@dataclass
class RefinementMaps:
    """What an FRM was given and made of it, and the prediction that came of it.

    Attributes:
        prediction: Class of every pixel, (H, W) uint8.
        block: Number of its block in the stage, from 1.
        maps: `F`, the input; `S` and `R`, the low and high frequencies before they are refined, if the FRM has both;
            `output`; each (channels, h, w) float32.
        context: What the SCM beside it made of the same input, as large; None if the block has no SCM.
    """

    prediction: np.ndarray
    block: int
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    context: np.ndarray | None = None


def refinement_maps(
    model: SegmentationModel, image: np.ndarray, stage: int = 3, block: int | None = None
) -> RefinementMaps:
    """Predict an image and keep what the FRM of one block saw.

    Args:
        model: A segmentation model on a FANet.
        image: (H, W, 3) uint8 RGB.
        stage: 1 to 4.
        block: From 1; the last of the stage by default.

    Raises:
        UserError: The model has no FRM there.
    """
    number, parent = _find(model, stage, block)
    maps: dict[str, np.ndarray] = {}
    with _recorded(parent, maps):
        prediction = model.predictor(thresholds=False).labels(image)
    order = [name for name in TITLES if name in maps]
    return RefinementMaps(prediction, number, {name: maps[name] for name in order}, maps.get(_CONTEXT))


def write_features(
    image: str | Path | np.ndarray,
    path: str | Path,
    model: SegmentationModel,
    stage: int = 3,
    block: int | None = None,
    truth: str | Path | np.ndarray | None = None,
) -> RefinementMaps:
    """Draw image, truth and prediction, and the input, low and high frequencies and output of an FRM, to a PNG.

    Args:
        image: (H, W, 3) uint8 RGB, or the path of an image.
        path: The file to write.
        model: A segmentation model on a FANet.
        stage: 1 to 4.
        block: From 1; the last of the stage by default.
        truth: (H, W) class indices, or the path of such a mask; None without one.

    Raises:
        UserError: A file cannot be read or written, truth and image differ in size, or the model has no FRM there.
    """
    pixels = image if isinstance(image, np.ndarray) else read_image(image)
    labels = read_labels(truth) if isinstance(truth, (str, Path)) else truth
    classes = colour_blind_safe(model.classes)
    if labels is not None and labels.shape != pixels.shape[:2]:
        raise UserError(
            f"the truth has {labels.shape[1]}x{labels.shape[0]} pixels, the image {pixels.shape[1]}x{pixels.shape[0]}: "
            "give the mask of this image"
        )
    found = refinement_maps(model, pixels, stage, block)
    large = max(1, _IMAGE_SIDE // max(pixels.shape[:2]))
    size = (pixels.shape[1] * large, pixels.shape[0] * large)
    smooth = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    above = [Panel("image", smooth)]
    note = ""
    if labels is not None:
        confusion = ConfusionMatrix(len(classes), classes.ignore_index)
        confusion.update(found.prediction, labels)
        note = f"mIoU {100 * confusion.miou:.1f} %"
        above.append(Panel("truth", overlay(smooth, enlarge(labels, large), classes, 0.6)))
    above.append(Panel("prediction", overlay(smooth, enlarge(found.prediction, large), classes, 0.6), note))
    below = [_heat_map(TITLES[name], values) for name, values in found.maps.items()]
    columns = max(len(above), len(below))
    rows = [[*row, *[None] * (columns - len(row))] for row in (above, below)]
    caption = f"FRM of stage {stage}, block {found.block}: root mean square over channels, each map on its own scale"
    make_folder(Path(path).parent)
    plot_panels(rows, path, classes, caption)
    return found


def strength(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the root mean square of a map over its channels, (channels, h, w) -> (h, w), and two of its values for the
    first and the last colour: those of the positions that padding does not reach.
    """
    result = np.sqrt((values**2).mean(axis=0))
    inner = result[_PADDED:-_PADDED, _PADDED:-_PADDED]
    low, high = np.percentile(inner if inner.size else result, (2, 98))
    return result, (float(low), float(high))


def _heat_map(title: str, values: np.ndarray) -> Panel:
    pixels, limits = strength(values)
    return Panel(title, pixels, f"{values.shape[1]} × {values.shape[2]}", limits=limits)


def _find(model: nn.Module, stage: int, block: int | None) -> tuple[int, AdaptiveFeatureEnhancement]:
    """Return the number of a block, from 1, and the part of it that holds its FRM.

    Raises:
        UserError: There is none.
    """
    modules: dict[tuple[int, int], AdaptiveFeatureEnhancement] = {}
    for name, module in model.named_modules():
        place = _PLACE.search(name)
        if place and isinstance(module, AdaptiveFeatureEnhancement) and module.refine is not None:
            modules[int(place[1]) + 1, int(place[2]) + 1] = module
    if not modules:
        raise UserError("the model has no FRM: choose one on a FANet that was built with frm")
    blocks = [number for of_stage, number in modules if of_stage == stage]
    if not blocks:
        stages = sorted({of_stage for of_stage, _ in modules})
        raise UserError(f"the model has no FRM in stage {stage}, only in {', '.join(map(str, stages))}")
    number = max(blocks) if block is None else block
    if number not in blocks:
        raise UserError(f"stage {stage} has {len(blocks)} blocks, so block must be 1 to {len(blocks)}, not {number}")
    return number, modules[stage, number]


@contextmanager
def _recorded(parent: AdaptiveFeatureEnhancement, maps: dict[str, np.ndarray]) -> Iterator[None]:
    """Keep what goes into and comes out of an FRM, and out of the SCM beside it, within the block."""

    def keep(name: str, values: torch.Tensor) -> None:
        maps[name] = values[0].detach().float().cpu().numpy()

    refine = parent.refine
    assert refine is not None, "_find returns only those with an FRM"
    with ExitStack() as hooks:
        for name, branch in (("S", refine.low), ("R", refine.high)):
            if branch is not None:
                hook = branch.register_forward_pre_hook(lambda _, inputs, name=name: keep(name, inputs[0]))
                hooks.callback(hook.remove)
        for name, part in (("output", refine), (_CONTEXT, parent.context)):
            if part is not None:
                hook = part.register_forward_hook(lambda _, inputs, output, name=name: keep(name, output))
                hooks.callback(hook.remove)
        hooks.callback(refine.register_forward_pre_hook(lambda _, inputs: keep("F", inputs[0])).remove)
        yield
