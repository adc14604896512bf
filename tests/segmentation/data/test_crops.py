import numpy as np
import pytest
import torch

from fanet.segmentation.data.crops import CropStream, to_input
from fanet.segmentation.preprocessing import Preprocessing


@pytest.fixture
def pool():
    """Images whose first channel is the label, so that a crop shows whether both were cut alike."""
    labels = np.random.default_rng(0).integers(256, size=(4, 24, 20), dtype=np.uint8)
    return np.stack([labels, labels + 1, labels + 2], axis=-1), labels


def test_image_and_labels_are_cut_and_turned_alike(pool):
    images, labels = CropStream(*pool, crop=(8, 8), batch_size=16, seed=0).batch(3)
    assert images.shape == (16, 8, 8, 3)
    assert (images[..., 0] == labels).all()


def test_batch_is_a_function_of_seed_and_iteration_alone(pool):
    stream = CropStream(*pool, crop=(8, 8), batch_size=6, seed=0)
    first = stream.batch(5)[0]
    stream.batch(6)
    assert (stream.batch(5)[0] == first).all()
    assert (stream.batch(6)[0] != first).any()
    assert (CropStream(*pool, crop=(8, 8), batch_size=6, seed=1).batch(5)[0] != first).any()


def test_processes_together_see_the_batch_of_a_single_one(pool):
    stream = CropStream(*pool, crop=(8, 8), batch_size=6, seed=0)
    whole = stream.batch(0)[1]
    for part in range(3):
        assert (stream.batch(0, part, 3)[1] == whole[part::3]).all()


@pytest.mark.parametrize(("shape", "symmetries"), [((6, 6), 8), ((6, 4), 4)])
def test_all_symmetries_of_the_crop_occur(shape, symmetries):
    labels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(1, *shape)
    stream = CropStream(np.stack([labels] * 3, axis=-1), labels, crop=shape, batch_size=200, seed=0)
    seen = {labels.tobytes() for labels in stream.batch(0)[1]}
    assert len(seen) == symmetries


def test_crops_come_from_everywhere(pool):
    images, labels = (np.zeros_like(values) for values in pool)
    labels[:, 0, 0], labels[:, -1, -1] = 1, 2
    seen = CropStream(images, labels, crop=(20, 18), batch_size=200, seed=0).batch(0)[1]
    assert {0, 1, 2} == set(np.unique(seen))


def test_crop_larger_than_the_images_is_refused(pool):
    with pytest.raises(ValueError, match="does not fit"):
        CropStream(*pool, crop=(25, 8), batch_size=1, seed=0)


def test_network_input_is_that_of_prediction(pool):
    preprocessing = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    inputs = to_input(pool[0], preprocessing)
    assert inputs.shape == (4, 3, 24, 20)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(inputs[2:3], preprocessing(pool[0][2]))
