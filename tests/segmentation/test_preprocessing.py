import cv2
import numpy as np
import pytest
import torch

from fanet.segmentation import Preprocessing

PUBLISHED = Preprocessing(fit=(2048, 512), multiple=32)


@pytest.mark.parametrize(
    "preprocessing, size, expected",
    [
        (PUBLISHED, (1080, 1920), [(512, 910), (512, 928)]),
        (PUBLISHED, (1920, 1080), [(910, 512), (928, 512)]),
        (PUBLISHED, (100, 4000), [(51, 2048), (64, 2048)]),
        (PUBLISHED, (512, 512), []),
        (Preprocessing(), (97, 131), []),
        (Preprocessing(multiple=32), (97, 131), [(128, 160)]),
    ],
)
def test_image_is_resized_to_the_expected_sizes(preprocessing, size, expected):
    assert preprocessing.sizes(*size) == expected


def test_prepared_frame_equals_that_of_opencv():
    image = np.random.default_rng(0).integers(256, size=(1080, 1920, 3), dtype=np.uint8)
    expected = cv2.resize(cv2.resize(image, (910, 512)), (928, 512))
    assert np.array_equal(PUBLISHED.resized(image)[0].permute(1, 2, 0).numpy(), expected)
    normalised = (expected / 255 - np.array(PUBLISHED.mean)) / np.array(PUBLISHED.std)
    np.testing.assert_allclose(PUBLISHED(image)[0].permute(1, 2, 0).numpy(), normalised, rtol=0, atol=1e-6)


def test_default_normalisation_is_that_of_imagenet():
    image = np.full((1, 1, 3), 255, np.uint8)
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    torch.testing.assert_close(Preprocessing()(image).flatten(), torch.tensor(expected))


def test_preprocessing_is_restored_from_its_json_dictionary():
    assert Preprocessing.from_dict({**PUBLISHED.to_dict(), "mean": list(PUBLISHED.mean)}) == PUBLISHED
