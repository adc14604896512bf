import cv2
import numpy as np
import pytest
import torch

from fanet.segmentation import bilinear
from fanet.segmentation.bilinear import resize, resize_by_products, resize_uint8

RANDOM = [tuple(int(side) for side in sides) for sides in np.random.default_rng(1).integers(1, 160, size=(60, 4))]


@pytest.mark.parametrize(
    "height, width, new_height, new_width",
    [
        (1080, 1920, 512, 910),
        (512, 910, 512, 928),
        (64, 64, 192, 192),
        (256, 256, 128, 128),  # OpenCV has a shortcut for halving
        (1, 1, 5, 7),
        (3, 1, 1, 3),
        *RANDOM,
    ],
)
def test_resized_image_equals_that_of_opencv(height, width, new_height, new_width):
    image = np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)
    expected = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    actual = resize_uint8(torch.from_numpy(image).permute(2, 0, 1), (new_height, new_width))
    assert actual.dtype == torch.uint8
    assert np.array_equal(actual.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("largest", [1, 2000, 30_000])
@pytest.mark.parametrize("size", [(61, 83), (130, 170), (20, 19), (1, 1), (64, 30)])
def test_bands_of_a_large_image_make_no_difference(size, largest, monkeypatch):
    image = torch.randint(256, (61, 83, 3), dtype=torch.uint8).permute(2, 0, 1)
    expected = resize_uint8(image, size)
    monkeypatch.setattr(bilinear, "LARGEST_WHOLE", largest)
    assert torch.equal(resize_uint8(image, size), expected)


def test_device_needs_no_float64(monkeypatch):
    arange = torch.arange

    def checked(*args, device=None, **kwargs):
        assert torch.device(device or "cpu").type == "cpu"
        return arange(*args, device=device, **kwargs)

    monkeypatch.setattr(torch, "arange", checked)
    resized = resize_uint8(torch.zeros(3, 30, 40, dtype=torch.uint8, device="meta"), (20, 50))
    assert resized.device.type == "meta" and resized.shape == (3, 20, 50)


def test_batch_is_resized_like_single_images():
    batch = torch.randint(0, 256, (2, 3, 30, 40), dtype=torch.uint8)
    resized = resize_uint8(batch, (20, 50))
    assert resized.shape == (2, 3, 20, 50)
    assert torch.equal(resized[1], resize_uint8(batch[1], (20, 50)))


@pytest.mark.parametrize(
    "old, new", [((5, 8), (20, 32)), ((1, 1), (7, 3)), ((64, 40), (250, 161)), ((65, 9), (130, 18))]
)
def test_resizing_by_products_gives_values_and_gradients_of_resizing(old, new):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *old, requires_grad=True)
    gradient = torch.randn(2, 3, *new)
    results = []
    for function in (resize, resize_by_products):
        with torch.autocast("cpu", torch.bfloat16):
            y = function(x, new)
        assert y.dtype == torch.float32
        results.append((y, *torch.autograd.grad(y, x, gradient)))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
