import json
import os
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation import Preprocessing, UperNet, load_model
from fanet.segmentation.data import ClutterScenes, Sample, SegmentationDataset, open_dataset
from fanet.segmentation.evaluation.breakdown import build_breakdowns
from fanet.segmentation.evaluation.evaluate import evaluate_split, image_counts
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, bootstrap_miou
from fanet.segmentation.processes import find_device
from fanet.threads import map_ahead

CHECKPOINT = Path(__file__).parents[2] / "data" / "parity" / "authors_zerowaste_micro.pth"
PUBLISHED = Preprocessing(fit=(2048, 512), multiple=32)


@pytest.fixture(scope="module")
def scenes() -> ClutterScenes:
    return ClutterScenes("test", count=3, size=64)


@pytest.fixture(scope="module")
def shipped() -> UperNet:
    return load_model()


def published_protocol(model: UperNet, image: np.ndarray) -> np.ndarray:
    """Return the labels of a 1920x1080 frame, with everything but the network computed by OpenCV and NumPy."""
    resized = cv2.resize(cv2.resize(image, (910, 512)), (928, 512)).astype(np.float32)
    mean, std = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])
    inputs = ((resized - mean) / std).transpose(2, 0, 1)[None]
    with torch.no_grad():
        logits = model(torch.from_numpy(inputs))[0].numpy()
    return cv2.resize(logits.transpose(1, 2, 0), (1920, 1080)).argmax(-1)


def undecided_model(image: np.ndarray) -> UperNet:
    """Return a random model whose biases let every class win somewhere, so that many pixels are close to a tie."""
    torch.manual_seed(0)
    model = UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0, preprocessing=PUBLISHED).eval()
    with torch.no_grad():
        model.decode_head.conv_seg.bias -= model(PUBLISHED(image)).mean((0, 2, 3))
    return model


@pytest.mark.parametrize("kind", ["MMSegmentation checkpoint", "trained model", "undecided model"])
def test_evaluation_agrees_with_opencv_and_numpy(belt, tmp_path, kind):
    dataset = open_dataset("zerowaste", belt, "test")
    if kind == "MMSegmentation checkpoint":
        model = load_model(CHECKPOINT).eval()
        assert model.preprocessing == PUBLISHED
    elif kind == "trained model":
        model = load_model()
        model.preprocessing = PUBLISHED
    else:
        model = undecided_model(dataset[0].image)
    matrix, differing = np.zeros((5, 5), np.int64), []
    for sample in dataset:
        expected = published_protocol(model, sample.image)
        differing.append(float((model.predict(sample.image) != expected).mean()))
        np.add.at(matrix, (sample.labels.ravel(), expected.ravel()), 1)
    assert max(differing) < 1e-5  # ties within the rounding of float32

    result = evaluate_split(model.predictor(), dataset, tmp_path)
    actual = np.array(result["confusion_matrix"])
    assert actual.sum() == matrix.sum() == 2 * 1920 * 1080
    assert np.abs(actual - matrix).sum() / 2 < 1e-5 * matrix.sum()
    assert result == json.loads((tmp_path / "metrics.json").read_text())


def test_figures_follow_from_the_confusion_matrix(shipped, scenes, tmp_path):
    result = evaluate_split(shipped.predictor(), scenes, tmp_path / "out", resamples=50, description={"split": "test"})
    matrix = np.array(result["confusion_matrix"])
    iou = [100 * matrix[i, i] / (matrix[i].sum() + matrix[:, i].sum() - matrix[i, i]) for i in range(5)]
    assert list(result["iou"].values()) == pytest.approx(iou, rel=1e-12)
    assert result["miou"] == pytest.approx(np.mean(iou), rel=1e-12)
    assert result["miou_no_background"] == pytest.approx(np.mean(iou[1:]), rel=1e-12)
    assert result["pixel_accuracy"] == pytest.approx(100 * np.trace(matrix) / matrix.sum(), rel=1e-12)
    assert result["mean_accuracy"] == pytest.approx(100 * np.mean(np.diag(matrix) / matrix.sum(1)), rel=1e-12)
    assert 0 < result["miou_low"] <= result["miou"] + 5 and result["miou_low"] < result["miou_high"] < 100
    assert result["bootstrap"] == {"unit": "images", "resamples": 50, "seed": 0, "confidence": 95}
    assert (result["images"], result["split"]) == (3, "test")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "confusion_matrix.png",
        "metrics.json",
        "per_image.npz",
        "report.html",
    ]


def test_scales_and_flips_are_averaged_as_probabilities(shipped, scenes):
    image = scenes[0].image
    shipped.eval()
    total = np.zeros((5, 64, 64))
    with torch.no_grad():
        for size in (48, 64, 96):
            inputs = cv2.resize(image, (size, size)).astype(np.float32) / 255
            inputs = ((inputs - shipped.preprocessing.mean) / shipped.preprocessing.std).transpose(2, 0, 1)[None]
            for step in (1, -1):
                view = torch.from_numpy(inputs[..., ::step].astype(np.float32))
                logits = cv2.resize(shipped(view)[0].numpy()[..., ::step].transpose(1, 2, 0), (64, 64))
                exponents = np.exp(logits - logits.max(-1, keepdims=True))
                total += (exponents / exponents.sum(-1, keepdims=True)).transpose(2, 0, 1)
    labels = shipped.predict(image, scales=(0.75, 1.0, 1.5), flip=True)
    assert (labels != total.argmax(0)).mean() < 0.01
    assert (shipped.predict(image, scales=(1.0,)) == shipped.predict(image)).all()
    assert (shipped.predict(image, scales=(1.0, 1.0)) == shipped.predict(image)).mean() > 0.999


class Slow(SegmentationDataset):
    """A data set that records which samples are read and fails at one of them."""

    classes = ZEROWASTE

    def __init__(self, count: int, broken: int | None = None, labelled: bool = True) -> None:
        self.names = [str(index) for index in range(count)]
        self.read, self.broken, self.labelled = [], broken, labelled
        self.two_ahead = threading.Event()

    def __getitem__(self, index: int) -> Sample:
        if index == self.broken:
            raise UserError(f"{index} is broken")
        self.read.append(index)
        if index == 2:
            self.two_ahead.set()
        labels = np.full((32, 32), index, np.uint8) if self.labelled else None
        return Sample(self.names[index], np.full((32, 32, 3), index, np.uint8), labels)

    def load_image(self, index: int) -> np.ndarray:
        return self[index].image

    def load_labels(self, index: int) -> np.ndarray:
        return self[index].labels


def test_next_samples_are_read_ahead_in_order():
    dataset = Slow(5)
    samples = map_ahead(dataset.__getitem__, range(5), workers=2)
    assert next(samples).name == "0"
    assert dataset.two_ahead.wait(10), "read while the caller holds the first one"
    assert [sample.name for sample in samples] == ["1", "2", "3", "4"]
    assert sorted(dataset.read) == [0, 1, 2, 3, 4]


def test_broken_or_unlabelled_sample_leaves_no_results(shipped, tmp_path):
    for dataset, message in ((Slow(5, broken=3), "3 is broken"), (Slow(2, labelled=False), "0 has no labels")):
        with pytest.raises(UserError, match=message):
            evaluate_split(shipped.predictor(), dataset, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert shipped.training is False


def test_image_size_that_the_backbone_refuses_is_reported(scenes):
    model = UperNet("hiera_tiny_224", num_classes=5, head_channels=8, aux_channels=0)
    with pytest.raises(UserError, match="hiera_tiny_224 takes no images of this size"):
        image_counts(model.predictor(), scenes)


class Outlined(SegmentationDataset):
    """Images whose last row of four is 255, which nobody said is ignored or not."""

    classes, names = ZEROWASTE, ["a", "b"]

    def __init__(self, ignores_by_default: bool) -> None:
        self.ignores_by_default = ignores_by_default

    def load_image(self, index: int) -> np.ndarray:
        return np.zeros((32, 32, 3), np.uint8)

    def load_labels(self, index: int) -> np.ndarray:
        return np.repeat(np.array([0, 1, 2, 255], np.uint8), 8)[:, None].repeat(32, axis=1)


@pytest.mark.parametrize("by_default", [True, False])
def test_pixels_that_are_ignored_by_default_are_told(shipped, tmp_path, by_default):
    notes = evaluate_split(shipped.predictor(), Outlined(by_default), tmp_path / "out")["notes"]
    assert [note.partition(":")[0] for note in notes] == by_default * [
        "25.00 % of the pixels are 255, which is ignored"
    ]


def test_model_with_another_number_of_classes_is_refused(shipped, scenes, tmp_path):
    other = UperNet("test_fanet", num_classes=3, head_channels=8, aux_channels=0)
    with pytest.raises(UserError, match="knows 3 classes, the data set has 5"):
        evaluate_split(other.predictor(), scenes, tmp_path / "out")


def test_class_names_and_their_order_must_match_the_data_set(shipped, scenes, tmp_path, monkeypatch):
    names = ZEROWASTE.names
    swapped = ClassScheme((*names[:3], names[4], names[3]), ZEROWASTE.palette)
    monkeypatch.setattr(shipped, "classes", swapped)
    with pytest.raises(UserError, match="class 3 is 'soft_plastic' to the model and 'metal' in the data set"):
        evaluate_split(shipped.predictor(), scenes, tmp_path / "swapped", resamples=0)
    assert not (tmp_path / "swapped").exists()
    monkeypatch.setattr(shipped, "classes", ClassScheme.numbered(5))  # as for a checkpoint without names
    assert list(evaluate_split(shipped.predictor(), scenes, tmp_path / "numbered", resamples=0)["iou"]) == list(names)


def test_device_that_is_missing_or_shared_by_processes_is_refused(monkeypatch):
    with pytest.raises(UserError, match="no device 'cuda:99' .*this machine has cpu"):
        find_device("cuda:99")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes cannot share the device 'cpu'"):
        find_device("cpu")


def test_folder_that_cannot_be_made_is_reported_before_the_evaluation(shipped, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file .*file is in the way"):
        evaluate_split(shipped.predictor(), Slow(5, broken=0), tmp_path / "file" / "out")


def test_scale_applies_to_the_fit_of_the_preprocessing(shipped):
    model = UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=0, preprocessing=PUBLISHED).eval()
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    model.predict(np.zeros((1080, 1920, 3), np.uint8), scales=(0.5,))
    assert seen == [(256, 480)], "fit (1024, 256), then up to multiples of 32"
    assert model.preprocessing == replace(PUBLISHED), "the model itself stays as it is"


def test_two_processes_count_the_same_as_one(shipped, scenes, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "fanet"]
    command += ["evaluate", "--dataset", "clutter", "--count", "3", "--size", "64", "64", "-o", str(tmp_path / "two")]
    command += ["--by", "size,border,class"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mIoU without background") == 1, "one of the processes reports"
    together = json.loads((tmp_path / "two" / "metrics.json").read_text())
    breakdowns = build_breakdowns(("size", "border", "class"), scenes.classes)
    alone = image_counts(shipped.predictor(), scenes, breakdowns=breakdowns)
    assert together["confusion_matrix"] == alone.matrix.tolist()
    assert together["miou"] == pytest.approx(100 * ConfusionMatrix.of(alone.matrix).miou)
    for key, breakdown in breakdowns.items():
        assert together[key] == json.loads(json.dumps(breakdown.scores(alone.parts[key], 1000))), key


def test_windows_that_cover_the_images_score_like_none(shipped, scenes, tmp_path):
    whole = evaluate_split(shipped.predictor(), scenes, tmp_path / "whole", resamples=0)
    covered = evaluate_split(shipped.predictor(window=(64, 80)), scenes, tmp_path / "covered", resamples=0)
    assert covered["confusion_matrix"] == whole["confusion_matrix"]
    assert "window" not in whole and (covered["window"], covered["overlap"]) == ([64, 80], 0.25)


def test_windows_of_the_command_line_are_those_of_the_predictor(shipped, scenes, tmp_path):
    argv = ["evaluate", "--model", "clutter", "--dataset", "clutter", "--count", "3", "--size", "64", "64"]
    assert main([*argv, "--window", "40", "48", "--overlap", "0.5", "-o", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (result["window"], result["overlap"], result["model"]) == ([40, 48], 0.5, "clutter")
    expected = image_counts(shipped.predictor((40, 48), 0.5), scenes).matrix
    assert result["confusion_matrix"] == expected.tolist()
    assert expected.tolist() != image_counts(shipped.predictor(), scenes).matrix.tolist()


class ManyClasses(SegmentationDataset):
    """Tiny images in which 171 classes occur."""

    classes, names = ClassScheme.numbered(171), [str(index) for index in range(5000)]

    def load_image(self, index: int) -> np.ndarray:
        return np.zeros((16, 16, 3), np.uint8)

    def load_labels(self, index: int) -> np.ndarray:
        return ((np.arange(256) + index) % 171).astype(np.uint8).reshape(16, 16)


def test_many_images_with_many_classes_are_counted_in_little_memory():
    predictor = SimpleNamespace(labels=lambda image: np.arange(256).reshape(16, 16) % 171)
    tracemalloc.start()
    counts = image_counts(predictor, ManyClasses(), workers=1)
    interval = bootstrap_miou(counts.margins, resamples=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts.matrix.sum() == 5000 * 256 and interval is not None
    assert peak < 100e6, "the confusion matrices of all images would take 1.2 GB"
