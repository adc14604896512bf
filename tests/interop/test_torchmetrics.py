"""Scores against torchmetrics, which comes with Lightning."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_jaccard_index

from fanet.classes import ClassScheme
from fanet.segmentation.evaluation.breakdown import build_breakdowns
from fanet.segmentation.evaluation.breakdown.base import Judged

CLASSES = ClassScheme(("background", "can", "bag", "box"))


def test_iou_and_calibration_error_are_those_of_torchmetrics():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 2, (1, 4, 60, 80)).astype(np.float32))
    labels = np.where(rng.random((60, 80)) < 0.6, logits[0].argmax(0).numpy(), rng.integers(0, 4, (60, 80)))
    labels[rng.random((60, 80)) < 0.1] = 255
    probabilities = logits.softmax(1)
    confidence, prediction = probabilities[0].max(0)
    judged = Judged.of(labels.astype(np.uint8), prediction.numpy().astype(np.uint8), confidence.numpy(), 255)
    found = {
        key: part.scores(part.count(judged)[None], 0) for key, part in build_breakdowns(["class"], CLASSES).items()
    }
    target = torch.from_numpy(labels)[None].long()
    error = multiclass_calibration_error(probabilities, target, 4, n_bins=15, norm="l1", ignore_index=255)
    assert found["calibration"]["ece"] == pytest.approx(100 * error.item(), abs=1e-3)
    iou = multiclass_jaccard_index(prediction[None], target, 4, average=None, ignore_index=255)
    assert list(found["by_class"]["iou"].values()) == pytest.approx((100 * iou).tolist(), abs=1e-3)
