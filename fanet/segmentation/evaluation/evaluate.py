"""Scores of a network on labelled images."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, bootstrap_miou
from fanet.segmentation.network.decoders.upernet import resize
from fanet.segmentation.network.model import UperNet
from fanet.segmentation.preprocessing import Preprocessing
from fanet.segmentation.processes import Share, shared_work
from fanet.threads import map_ahead

METRICS_NAME = "metrics.json"
PLOT_NAME = "confusion_matrix.png"


def evaluate_split(
    model: UperNet,
    dataset: SegmentationDataset,
    output: str | Path,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    resamples: int = 1000,
    workers: int = 2,
    description: dict[str, Any] | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Evaluates a model by its own protocol and writes `metrics.json` and `confusion_matrix.png`.

    Under torchrun every process takes its share of the images; the counts are summed, and the first process writes.

    Args:
        model: it is moved to `device`, and left in the mode it was in. Its classes must be the data set's, by name and
            in order, unless they are but numbered.
        dataset: the split.
        output: the folder for the results; made where missing, once there are results.
        scales: as for `predict_labels`.
        flip: as for `predict_labels`.
        resamples: of the bootstrap, see `bootstrap_miou`; 0 leaves the interval out.
        workers: threads that read images ahead.
        description: what else `metrics.json` shall hold, for instance the names of model and data set.
        device: as for `find_device`, for a single process; by default its GPU where there is one.

    Returns:
        The contents of `metrics.json`: scores in %, `confusion_matrix` (rows truth), `miou_low` and `miou_high`
        (None where there is no interval), `bootstrap`, `images`, `scales`, `flip`, and the description.

    Raises:
        UserError: model and data set differ in their classes, a sample cannot be read, the folder cannot be made, or
            there is no such device.
    """
    from fanet.segmentation.evaluation.plots import (
        plot_confusion_matrix,  # needs an extra, which is better known beforehand
    )

    _check_classes(model.classes, dataset.classes)
    folder = _writable(output)
    with shared_work(device) as share:
        matrices = image_matrices(model, dataset, share, scales, flip, workers)
    interval = bootstrap_miou(matrices, resamples)
    confusion = ConfusionMatrix.of(matrices.sum(axis=0), dataset.classes.ignore_index)
    result = confusion.to_dict(dataset.classes.names) | {
        "miou_low": None if interval is None else 100 * interval[0],
        "miou_high": None if interval is None else 100 * interval[1],
        "bootstrap": {"unit": "images", "resamples": resamples, "seed": 0, "confidence": 95},
        "images": len(dataset),
        "scales": list(scales),
        "flip": flip,
        **(description or {}),
    }
    if share.is_main:
        make_folder(folder)
        plot_confusion_matrix(confusion.matrix, dataset.classes.names, folder / PLOT_NAME)
        with atomic_path(folder / METRICS_NAME) as path:
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def image_matrices(
    model: UperNet,
    dataset: SegmentationDataset,
    share: Share | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    workers: int = 2,
) -> np.ndarray:
    """The confusion matrix of every image, (N, num_classes, num_classes) int64, rows truth.

    Args:
        model: it is moved to the share's device, and left in the mode it was in.
        dataset: N labelled images.
        share: this process's; by default all of the images, on the model's device.
        scales: as for `predict_labels`.
        flip: as for `predict_labels`.
        workers: threads that read images ahead.

    Raises:
        UserError: a sample cannot be read, has no labels, or has a size that the model's backbone is not built for.
    """
    share = share or Share(0, 1, next(model.parameters()).device)
    num_classes, ignore_index = len(dataset.classes), dataset.classes.ignore_index
    matrices = torch.zeros(len(dataset), num_classes, num_classes, dtype=torch.int64)
    was_training = model.training
    model.to(share.device).eval()
    indices = share.items(len(dataset))
    samples = map_ahead(dataset.__getitem__, indices, workers)
    bar = tqdm(samples, desc="evaluate", total=len(indices), unit="image", disable=None if share.is_main else True)
    try:
        for index, sample in zip(indices, bar, strict=True):
            if sample.labels is None:
                raise UserError(f"{sample.name} has no labels to compare a prediction with")
            confusion = ConfusionMatrix(num_classes, ignore_index)
            with model.naming_refused_sizes():
                labels = predict_labels(model, sample.image, scales, flip)
            confusion.update(labels, sample.labels)
            matrices[index] = torch.from_numpy(confusion.matrix)
    finally:
        model.train(was_training)
    return share.sum(matrices).numpy()


@torch.inference_mode()
def predict_labels(
    model: UperNet, image: np.ndarray, scales: Sequence[float] = (1.0,), flip: bool = False
) -> np.ndarray:
    """The class index of every pixel of a whole image, (H, W) uint8, from a model in evaluation mode.

    Args:
        model: with its own preprocessing, on its own device.
        image: (H, W, 3) uint8 RGB.
        scales: factors on the size at which the model sees the image. The probabilities of several are averaged, each
            brought back to the image's size first.
        flip: average with the mirrored image, too.
    """
    device, size = model.decode_head.conv_seg.weight.device, image.shape[:2]
    views = [(scale, mirrored) for scale in scales for mirrored in ((False, True) if flip else (False,))]
    total: torch.Tensor | None = None
    for scale, mirrored in views:
        inputs = _scaled(model.preprocessing, size, scale)(image, device)
        scores = model(inputs.flip(-1) if mirrored else inputs)
        scores = scores.flip(-1) if mirrored else scores
        if scores.shape[-2:] != size:
            scores = resize(scores, size)
        if len(views) > 1:
            scores = scores.float().softmax(1)
        total = scores if total is None else total.add_(scores)
    assert total is not None, "there is at least one scale"
    return total.argmax(1)[0].to(torch.uint8).cpu().numpy()


def _scaled(preprocessing: Preprocessing, size: tuple[int, int], scale: float) -> Preprocessing:
    """The preprocessing that shows an image of this size (height, width) larger by `scale`."""
    if scale == 1:
        return preprocessing
    long, short = preprocessing.fit or (max(size), min(size))
    return replace(preprocessing, fit=(max(1, round(long * scale)), max(1, round(short * scale))))


def _check_classes(known: ClassScheme, wanted: ClassScheme) -> None:
    """Refuses to compare classes with others of the same number; those that nobody named are taken for any.

    Raises:
        UserError: the model's classes are not those of the data set.
    """
    if len(known) != len(wanted):
        raise UserError(
            f"the model knows {len(known)} classes, the data set has {len(wanted)}: "
            "choose a model that was trained for it"
        )
    if known.names == ClassScheme.numbered(len(known)).names:
        return
    for index, (name, other) in enumerate(zip(known.names, wanted.names, strict=True)):
        if name != other:
            raise UserError(
                f"class {index} is {name!r} to the model and {other!r} in the data set: "
                "choose a model that was trained for it, or correct the names in its config.json"
            )


def _writable(folder: str | Path) -> Path:
    """The folder, if it can be made or written to, without making it yet.

    Raises:
        UserError: it cannot.
    """
    folder = Path(folder)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"cannot make the folder {folder}: the file {existing} is in the way")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"no permission to write in {existing}: choose another folder")
    return folder
