import numpy as np
import pytest

from fanet.classes import ClassScheme
from fanet.segmentation.data.counting import balanced_weights, epoch_order, pixel_counts, repeats

COUNTS = np.array([[90, 10, 0], [100, 0, 0], [100, 0, 0], [100, 0, 0]])


class Labels:
    classes = ClassScheme(("a", "b", "c"))

    def __len__(self):
        return 2

    def load_labels(self, index):
        return np.array([[0, 0, 1], [index * 2, 255, 255]], np.uint8)


def test_pixels_are_counted_by_image_without_ignored_ones():
    assert pixel_counts(Labels()).tolist() == [[3, 1, 0], [2, 1, 1]]


def test_rare_classes_weigh_more_and_absent_ones_fifty():
    weights = balanced_weights(COUNTS)
    assert weights == pytest.approx([1 / np.log(1.02 + 0.975), 1 / np.log(1.02 + 0.025), 1 / np.log(1.02)])
    assert balanced_weights(np.zeros((1, 2), int)) == pytest.approx([50.5, 50.5], abs=0.01)


@pytest.mark.parametrize(("threshold", "factors"), [(0.25, [1, 1, 1, 1]), (1.0, [2, 1, 1, 1]), (0.0, [1, 1, 1, 1])])
def test_images_with_classes_below_the_threshold_are_repeated(threshold, factors):
    assert repeats(COUNTS, threshold).tolist() == factors


@pytest.mark.parametrize("often", [np.ones(7), np.array([2.5, 1, 1, 3.25]), np.array([1.3] * 10)])
def test_an_epoch_shows_each_image_as_often_as_asked(often):
    orders = [epoch_order(often, np.random.default_rng(seed)) for seed in range(200)]
    assert {len(order) for order in orders} == {int(often.sum() + 1e-9)}
    shown = np.array([np.bincount(order, minlength=len(often)) for order in orders])
    assert (shown >= np.floor(often) - 1).all() and (shown <= np.ceil(often) + 1).all()
    assert shown.mean(axis=0) == pytest.approx(often * int(often.sum() + 1e-9) / often.sum(), rel=0.1)
