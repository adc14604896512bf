"""Scores of a network on labelled images."""

import numpy as np
import torch

from fanet.segmentation.data.crops import to_input
from fanet.segmentation.metrics import ConfusionMatrix
from fanet.segmentation.model import UperNet


@torch.no_grad()
def evaluate(
    model: UperNet, images: np.ndarray, labels: np.ndarray, batch_size: int = 4, bf16: bool = False
) -> ConfusionMatrix:
    """Compares what the network says with the truth, pixel by pixel, over all images together.

    Args:
        model: a `UperNet`; it is evaluated on the device it is on and left in the mode (train or eval) it was in.
        images: (N, H, W, 3) uint8 RGB, shown at their own size.
        labels: (N, H, W) uint8, class indices or `model.classes.ignore_index`.
        batch_size: images in a batch.
        bf16: run the network in bfloat16 where autocast does so.
    """
    matrix = ConfusionMatrix(len(model.classes), model.classes.ignore_index)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for start in range(0, len(images), batch_size):
        batch = np.s_[start : start + batch_size]
        inputs = to_input(images[batch], model.preprocessing, device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            prediction = model(inputs).argmax(dim=1)
        matrix.update(prediction, labels[batch])
    model.train(was_training)
    return matrix
