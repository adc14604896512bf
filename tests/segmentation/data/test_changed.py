import numpy as np
import pytest

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data import SegmentationDataset
from fanet.segmentation.data.changed import FirstClasses, Shrunken, Trimmed


class Wide(SegmentationDataset):
    classes = ClassScheme(("a", "b", "c"), ignore_index=9)
    names = ["x"]

    def load_image(self, index):
        return np.repeat(np.arange(40, dtype=np.uint8)[None, :, None] * 4, 3, axis=2).repeat(20, axis=0)

    def load_labels(self, index):
        return np.repeat(np.array([[0, 1, 2, 9]], np.uint8), 10, axis=1).repeat(20, axis=0)


def test_first_classes_keep_their_labels_and_the_others_are_ignored():
    labels = FirstClasses(Wide(), ClassScheme(("a", "b"))).load_labels(0)
    assert labels[0, ::10].tolist() == [0, 1, 255, 255]


def test_classes_must_begin_with_those_of_the_run():
    with pytest.raises(UserError, match="the run has the classes a, c, the data set a, b, c: start a new run"):
        FirstClasses(Wide(), ClassScheme(("a", "c")))


@pytest.mark.parametrize(("side", "size"), [(20, (10, 20)), (40, (20, 40)), (1000, (20, 40)), (1, (1, 1))])
def test_large_images_are_reduced_with_their_labels_and_small_ones_are_not(side, size):
    sample = Shrunken(Wide(), side)[0]
    assert sample.image.shape == (*size, 3) and sample.labels.shape == size
    assert sample.image.dtype == sample.labels.dtype == np.uint8
    assert set(np.unique(sample.labels)) <= {0, 1, 2, 9}


def test_reduced_images_are_smoothed_and_labels_stay_in_place():
    sample = Shrunken(Wide(), 20)[0]
    assert sample.labels[0].tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [9] * 5
    assert sample.image[0, 5:9, 0].tolist() == [42, 50, 58, 66]


class Padded(Wide):
    def load_labels(self, index):
        labels = np.full((20, 40), 9, np.uint8)
        labels[3:17, 5] = 0
        labels[8, 5:30] = 2
        return labels


def test_edges_without_labels_are_cut_off_and_what_is_inside_stays():
    sample = Trimmed(Padded())[0]
    np.testing.assert_array_equal(sample.labels, Padded().load_labels(0)[3:17, 5:30])
    np.testing.assert_array_equal(sample.image, Padded().load_image(0)[3:17, 5:30])


def test_images_without_any_label_stay_whole():
    dataset = Padded()
    dataset.load_labels = lambda index: np.full((20, 40), 9, np.uint8)
    assert Trimmed(dataset)[0].image.shape == (20, 40, 3)


def test_trimmed_images_may_be_reduced():
    assert Shrunken(Trimmed(Padded()), 10)[0].labels.shape == (6, 10)


def test_masks_of_another_size_are_still_refused():
    dataset = Padded()
    dataset.load_labels = lambda index: np.zeros((10, 40), np.uint8)
    with pytest.raises(UserError, match="has 40x20 pixels, but its mask has 40x10"):
        Trimmed(dataset)[0]
