import json
import math
import tracemalloc

import numpy as np
import pytest
import torch

from fanet.segmentation.evaluation import bootstrap
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts, bootstrap_miou, margins_of


def slow_counts(prediction, target, num_classes, ignore_index):
    """Return IoUs, accuracies and pixel accuracy, computed from sets of pixels instead of a matrix."""
    pixels = [(p, t) for p, t in zip(prediction.ravel(), target.ravel(), strict=True) if t != ignore_index]
    ious, accuracies = [], []
    for c in range(num_classes):
        said = {i for i, (p, _) in enumerate(pixels) if p == c}
        true = {i for i, (_, t) in enumerate(pixels) if t == c}
        ious.append(len(said & true) / len(said | true) if said | true else math.nan)
        accuracies.append(len(said & true) / len(true) if true else math.nan)
    return ious, accuracies, sum(p == t for p, t in pixels) / len(pixels)


@pytest.fixture
def small():
    """Two classes: one of three background pixels is predicted as an object, the object pixel is right."""
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([[0, 0], [1, 1]]), np.array([[0, 0], [0, 1]]))
    return matrix


def test_rows_are_truth_and_columns_prediction(small):
    assert small.matrix.tolist() == [[2, 1], [0, 1]]


def test_scores_match_a_hand_made_case(small):
    assert small.iou() == pytest.approx([2 / 3, 1 / 2])
    assert small.miou == pytest.approx(7 / 12)
    assert small.miou_without(0) == pytest.approx(1 / 2) and math.isnan(small.miou_without(None))
    assert small.pixel_accuracy == pytest.approx(3 / 4)
    assert small.mean_accuracy == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("ignore_index", [255, 2])
def test_scores_agree_with_a_slow_computation(ignore_index):
    rng = np.random.default_rng(0)
    matrix = ConfusionMatrix(6, ignore_index)
    predictions = rng.integers(5, size=(3, 17, 13))
    targets = rng.choice([0, 1, 2, 4, 5, ignore_index], size=(3, 17, 13))
    for prediction, target in zip(predictions, targets, strict=True):
        matrix.update(prediction, target)
    ious, accuracies, pixel_accuracy = slow_counts(predictions, targets, 6, ignore_index)
    np.testing.assert_allclose(matrix.iou(), ious)
    np.testing.assert_allclose(matrix.accuracy(), accuracies)
    assert matrix.pixel_accuracy == pytest.approx(pixel_accuracy)
    assert matrix.miou == pytest.approx(np.nanmean(ious))
    assert matrix.miou_without(0) == pytest.approx(np.nanmean(ious[1:]))
    assert matrix.miou_without(2) == pytest.approx(np.nanmean(ious[:2] + ious[3:]))
    assert matrix.mean_accuracy == pytest.approx(np.nanmean(accuracies))


def test_scores_come_from_one_matrix_over_all_images():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([1]), np.array([1]))
    matrix.update(np.array([0, 0, 0]), np.array([1, 1, 1]))
    assert matrix.iou()[1] == pytest.approx(1 / 4)


def test_class_absent_from_truth_and_prediction_is_left_out_of_the_mean():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 1]), np.array([0, 1]))
    assert np.isnan(matrix.iou()[2])
    assert matrix.miou == 1


def test_class_predicted_but_never_true_counts_as_zero():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 2]), np.array([0, 0]))
    assert matrix.iou()[2] == 0
    assert matrix.miou == pytest.approx(0.25)
    assert matrix.mean_accuracy == pytest.approx(0.5)  # the only true class


def test_ignored_pixels_do_not_count_whatever_was_predicted():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([0, 1, 77]), np.array([0, 255, 255]))
    assert matrix.matrix.tolist() == [[1, 0], [0, 0]]


def test_scores_without_counted_pixels_are_nan_without_a_warning():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([0]), np.array([255]))
    assert all(math.isnan(value) for value in (matrix.miou, matrix.pixel_accuracy, matrix.mean_accuracy))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_tensors_of_any_integer_type_are_counted(dtype):
    matrix = ConfusionMatrix(100, ignore_index=200)  # 100 * 99 overflows 8 bits
    matrix.update(torch.tensor([[99, 3]], dtype=dtype), np.array([[99, 200]]))
    assert matrix.matrix[99, 99] == matrix.matrix.sum() == 1


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([0, 1], [[0, 1]], "shape"),
        ([0, 1], [0, 2], "target has values from 0 to 2"),
        ([0, 1], [0, -1], "target has values from -1"),
        ([0, 2], [0, 1], "prediction has values"),
        ([0.0, 1.0], [0, 1], "integer"),
    ],
)
def test_unusable_labels_are_refused_and_count_nothing(prediction, target, message):
    matrix = ConfusionMatrix(2)
    with pytest.raises(ValueError, match=message):
        matrix.update(np.array(prediction), np.array(target))
    assert matrix.matrix.sum() == 0


def test_dictionary_is_in_percent_and_valid_json():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    scores = json.loads(json.dumps(matrix.to_dict(["background", "can", "film"]), allow_nan=False))
    assert scores["iou"] == {"background": pytest.approx(200 / 3), "can": pytest.approx(50), "film": None}
    assert scores["miou"] == pytest.approx(700 / 12)
    assert scores["miou_no_background"] == pytest.approx(50)
    assert scores["pixel_accuracy"] == pytest.approx(75)
    assert scores["mean_accuracy"] == pytest.approx(500 / 6)
    assert scores["confusion_matrix"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("sky", "tree", "road"), None),
        (("can", "_Background_", "film"), (100 + 0) / 2),
        (("can", "film", "BG"), (100 + 100 / 3) / 2),
        (("void", "tree", "background"), (100 + 100 / 3) / 2),
        (("background wall", "tree", "road"), None),
    ],
)
def test_mean_without_background_exists_where_a_class_is_called_so(names, expected):
    matrix = ConfusionMatrix(3)
    matrix.matrix[:] = [[5, 0, 0], [0, 1, 2], [0, 0, 0]]
    scores = matrix.to_dict(names)
    assert scores["miou"] is not None and scores["miou_no_background"] == pytest.approx(expected)


@pytest.mark.parametrize("matrix", [[[9, 0], [0, 0]], [[0, 0], [3, 6]], [[0, 0], [0, 0]]])
def test_no_score_exists_where_fewer_than_two_classes_are_labelled(matrix):
    scores = ConfusionMatrix.of(np.array(matrix)).to_dict(["background", "can"])
    assert scores.pop("confusion_matrix") == matrix
    assert set(scores.pop("iou").values()) == {None} and set(scores.values()) == {None}


def test_dictionary_needs_a_name_for_every_class(small):
    with pytest.raises(ValueError, match="1 names for 2 classes"):
        small.to_dict(["ground"])


def test_interval_is_that_of_resampled_images():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 50, size=(30, 3, 3)) + 200 * np.eye(3, dtype=np.int64) * rng.integers(0, 3, (30, 1, 1))
    low, high = bootstrap_miou(margins_of(matrices), resamples=2000, seed=1)
    resampled = [ConfusionMatrix.of(matrices[rng.integers(30, size=30)].sum(axis=0)).miou for _ in range(2000)]
    assert (low, high) == pytest.approx(np.percentile(resampled, (2.5, 97.5)), abs=0.01)
    assert low < ConfusionMatrix.of(matrices.sum(axis=0)).miou < high
    assert bootstrap_miou(margins_of(matrices), resamples=2000, seed=1) == (low, high)


def test_interval_equals_that_of_whole_resampled_matrices():
    matrices = np.random.default_rng(0).integers(0, 10**6, size=(20, 4, 4))
    matrices[:, 3] = matrices[:, :, 3] = 0
    matrices[0, 3, 3] = 5  # in some resamples this class does not occur
    draws = np.random.default_rng(7).multinomial(20, np.full(20, 1 / 20), size=300)
    mious = [ConfusionMatrix.of(np.tensordot(draw, matrices, axes=1)).miou for draw in draws]
    assert bootstrap_miou(margins_of(matrices), resamples=300, seed=7) == tuple(np.percentile(mious, (2.5, 97.5)))


def test_memory_for_the_interval_is_linear_in_the_classes():
    matrices = np.ones((4, 150, 150), np.int64)
    tracemalloc.start()
    bootstrap_miou(margins_of(matrices))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 150 * 8 * 20, "20 values a class and resample"


def test_interval_does_not_depend_on_how_many_draws_are_held_at_a_time(monkeypatch):
    margins = margins_of(np.random.default_rng(0).integers(0, 100, size=(30, 5, 5)))
    whole = bootstrap_miou(margins, resamples=101, seed=3)
    for draws in (1, 30, 77, 30 * 100):
        monkeypatch.setattr(bootstrap, "_DRAWS", draws)
        assert bootstrap_miou(margins, resamples=101, seed=3) == whole


def test_memory_for_draws_does_not_grow_with_images_times_resamples():
    margins = np.ones((50_000, 3, 2), np.int64)
    tracemalloc.start()
    bootstrap_miou(margins, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6, "all draws at once take 80 MB"


def test_margins_are_hits_and_sums_of_rows_and_columns():
    matrices = np.random.default_rng(0).integers(0, 100, size=(3, 4, 4))
    counts = ImageCounts.of(matrices)
    assert (counts.matrix == matrices.sum(axis=0)).all() and counts.margins.shape == (3, 3, 4)
    for matrix, (hit, row, column) in zip(matrices, counts.margins, strict=True):
        assert (hit == np.diag(matrix)).all() and (row == matrix.sum(1)).all() and (column == matrix.sum(0)).all()


def test_interval_of_equal_images_is_one_point():
    matrix = np.array([[8, 2], [1, 9]])
    miou = ConfusionMatrix.of(matrix).miou
    assert bootstrap_miou(margins_of(np.stack([matrix] * 4))) == pytest.approx((miou, miou))


@pytest.mark.parametrize(("images", "resamples"), [(0, 100), (1, 100), (5, 0)])
def test_too_few_images_or_resamples_give_no_interval(images, resamples):
    assert bootstrap_miou(margins_of(np.ones((images, 2, 2), np.int64)), resamples) is None


def test_images_without_counted_pixels_give_no_interval():
    assert bootstrap_miou(margins_of(np.zeros((4, 2, 2), np.int64))) is None
