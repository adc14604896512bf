"""Scores that explain through an evaluation: from the command line to `metrics.json`, the table and the page."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fanet.classes import ZEROWASTE
from fanet.cli import main
from fanet.segmentation import Preprocessing, UperNet, load_model
from fanet.segmentation.data import ClutterScenes, SegmentationDataset
from fanet.segmentation.evaluation.evaluate import evaluate_split, image_counts
from fanet.segmentation.evaluation.metrics import scores_of
from fanet.segmentation.evaluation.per_image import PerImage
from fanet.segmentation.prediction.predictor import Predictor

WAYS = ("size", "border", "class")


@pytest.fixture(scope="module")
def undecided() -> UperNet:
    torch.manual_seed(0)
    model = UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0).eval()
    with torch.no_grad():
        model.decode_head.conv_seg.weight.mul_(20)
    return model


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"window": (40, 48), "overlap": 0.5},
        {"scales": (0.75, 1.0), "flip": True},
        {"scales": (1.0,), "window": (200, 200)},
    ],
)
def test_labels_come_with_their_probability(undecided, how):
    image = ClutterScenes("test", count=1, size=(64, 90))[0].image
    predictor = undecided.predictor(**how)
    labels, confidence = predictor.labels_and_confidence(image)
    probabilities = predictor.probabilities(image)
    assert labels.dtype == np.uint8 and (labels == predictor.labels(image)).all()
    assert len(np.unique(labels)) > 1 and confidence.dtype == np.float32
    np.testing.assert_allclose(confidence, probabilities.max(axis=0), atol=2e-6)


def test_probabilities_of_windows_of_a_resized_image_belong_to_the_labels():
    preprocessing = Preprocessing(fit=(96, 96), multiple=32)
    model = UperNet("test_fanet", num_classes=4, head_channels=8, aux_channels=0, preprocessing=preprocessing).eval()
    predictor = model.predictor(window=(64, 64))
    image = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    labels, confidence = predictor.labels_and_confidence(image)
    assert (labels == predictor.labels(image)).all()
    np.testing.assert_allclose(confidence, predictor.probabilities(image).max(axis=0), atol=2e-6)


class Sizes(SegmentationDataset):
    """Scenes of different sizes, with ignored pixels in all and only ignored pixels in the last."""

    classes, names = ZEROWASTE, ["a", "b", "c"]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = ClutterScenes("test", count=3, size=((64, 80), (96, 40), (48, 48))[index])[index]
        labels = sample.labels.copy()
        labels[: 8 if index < 2 else None] = 255
        return sample.image, labels

    def load_image(self, index: int) -> np.ndarray:
        return self.load(index)[0]

    def load_labels(self, index: int) -> np.ndarray:
        return self.load(index)[1]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    folder = tmp_path_factory.mktemp("evaluated")
    return evaluate_split(load_model().predictor(), Sizes(), folder, resamples=20, by=WAYS), folder


def test_breakdowns_add_up_to_the_other_scores(evaluated):
    result, folder = evaluated
    assert result["by_class"]["iou"] == result["iou"] and result["by_class"]["miou"] == result["miou"]
    assert (result["by_class"]["miou_low"], result["by_class"]["miou_high"]) == (
        result["miou_low"],
        result["miou_high"],
    )
    assert sum(group["share_of_pixels"] for group in result["by_border"]["groups"]) == pytest.approx(100)
    bins = result["calibration"]["bins"]
    weighted = sum(part["share_of_pixels"] * abs(part["confidence"] - part["accuracy"]) for part in bins)
    assert result["calibration"]["ece"] == pytest.approx(weighted / 100)
    right = sum(part["share_of_pixels"] * part["accuracy"] for part in bins)
    assert right / 100 == pytest.approx(result["pixel_accuracy"])
    assert json.loads((folder / "metrics.json").read_text()) == result


def test_other_scores_are_the_same_with_breakdowns(evaluated):
    counts = image_counts(load_model().predictor(), Sizes())
    assert counts.matrix.tolist() == evaluated[0]["confusion_matrix"] and counts.parts == {}


def test_counts_of_every_image_are_kept(evaluated):
    result, folder = evaluated
    kept = PerImage.load(folder / "per_image.npz")
    assert (kept.images, kept.classes) == (["a", "b", "c"], list(ZEROWASTE.names))
    assert (kept.margins == image_counts(load_model().predictor(), Sizes()).margins).all()
    assert 100 * scores_of(kept.margins.sum(axis=0))[-1] == pytest.approx(result["miou"])
    assert (folder / "per_image.npz").stat().st_size < 3000


def test_command_prints_and_writes_scores_that_explain(tmp_path, capsys):
    command = "evaluate --dataset clutter --count 3 --size 64 64 --bootstrap 20 --by size,border,class"
    bounds = "--object-sizes 0.01 --border-bands 1 3"
    assert main([*command.split(), *bounds.split(), "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for part in ("up to 1 % of the image", "above 1 % of the image", "1 to 3 px", "boundary IoU", "calibration error"):
        assert part in printed
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert [group["to"] for group in result["by_size"]["groups"]] == [0.01, None]
    assert [group["from"] for group in result["by_border"]["groups"]] == [0, 1, 3]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("By size", "By distance to the border", "Intervals by class", "Expected calibration error"):
        assert part in page


def test_nothing_is_scored_where_one_class_is_labelled(tmp_path):
    class Background(Sizes):
        def load_labels(self, index: int) -> np.ndarray:
            return np.zeros((32, 32), np.uint8)

        def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return np.zeros((32, 32, 3), np.uint8), self.load_labels(index)

    def engine(images: torch.Tensor) -> torch.Tensor:
        return torch.eye(5)[0].view(1, 5, 1, 1).expand(1, 5, 8, 8)

    predictor = Predictor(engine, Preprocessing(), ZEROWASTE)
    result = evaluate_split(predictor, Background(), tmp_path, by=("size",))
    assert result["by_size"] is None and result["calibration"] is None and result["miou"] is None
    assert "By size" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_unknown_way_ends_in_one_line(tmp_path, capsys):
    command = ["evaluate", "--dataset", "clutter", "--count", "2", "--by", "size,colour", "-o", str(tmp_path / "out")]
    assert main(command) == 2
    assert "not by 'colour'" in capsys.readouterr().err and not (tmp_path / "out").exists()
