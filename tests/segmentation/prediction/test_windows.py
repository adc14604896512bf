from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fanet.errors import UserError
from fanet.segmentation import Preprocessing, UperNet
from fanet.segmentation.prediction.windows import blended_bands, label_map, strongest_class


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=0).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(90, 130, 3), dtype=np.uint8)


def stacked(bands: Iterator[torch.Tensor]) -> torch.Tensor:
    return torch.cat([band.clone() for band in bands], dim=2)


def interpolate(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("sizes", [[(540, 960)], [(128, 232), (271, 481)], [(135, 240)]])
def test_labels_equal_those_of_resizing_all_classes_at_once(sizes, memory_format):
    logits = torch.randn(1, 7, 135, 240, generator=torch.Generator().manual_seed(0)).to(memory_format=memory_format)
    whole = logits
    for size in sizes:
        whole = interpolate(whole, size)
    labels = strongest_class(logits, *sizes)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels, whole.argmax(1)[0])


def test_first_class_wins_a_tie():
    assert strongest_class(torch.tensor([1.0, 2.0, 2.0]).view(1, 3, 1, 1)).item() == 1


@pytest.mark.parametrize("preprocessing", [Preprocessing(), Preprocessing(fit=(100, 64), multiple=32)])
def test_window_that_covers_the_image_keeps_the_labels(net, image, preprocessing, monkeypatch):
    monkeypatch.setattr(net, "preprocessing", preprocessing)
    np.testing.assert_array_equal(net.predict(image, window=(90, 130)), net.predict(image))
    np.testing.assert_array_equal(net.predict(image, window=(2000, 2000), overlap=0.9), net.predict(image))


@pytest.mark.parametrize(("window", "overlap"), [((32, 40), 0.25), ((33, 200), 0.0), ((90, 64), 0.9)])
def test_windows_reproduce_a_pixelwise_network(window, overlap):
    values = torch.rand(1, 4, 90, 130, generator=torch.Generator().manual_seed(0))
    window = (min(window[0], 90), min(window[1], 130))
    blended = stacked(blended_bands(lambda part: part.clone(), values, window, overlap))
    torch.testing.assert_close(blended, values, rtol=1e-6, atol=1e-6)


def test_windows_have_their_size_and_at_least_their_overlap():
    seen: list[tuple[int, ...]] = []

    def network(part: torch.Tensor) -> torch.Tensor:
        seen.append((*part.shape[-2:], int(part[0, 0, 0, 0]), int(part[0, 1, 0, 0])))
        return part

    rows, columns = torch.meshgrid(torch.arange(100.0), torch.arange(150.0), indexing="ij")
    list(blended_bands(network, torch.stack([rows, columns])[None], (40, 50), 0.25))
    assert {(high, wide) for high, wide, _, _ in seen} == {(40, 50)}
    tops, lefts = sorted({top for _, _, top, _ in seen}), sorted({left for *_, left in seen})
    assert (tops[0], tops[-1], lefts[0], lefts[-1]) == (0, 60, 0, 100)
    assert max(np.diff(tops)) <= 30 and max(np.diff(lefts)) <= 37


def test_neighbouring_windows_blend_without_a_seam():
    values = iter([0.0, 1.0])

    def network(part: torch.Tensor) -> torch.Tensor:
        return torch.full_like(part, next(values))

    row = stacked(blended_bands(network, torch.zeros(1, 1, 32, 96), (32, 64), 0.5))[0, 0, 0]
    assert row[0] == 0 and row[-1] == 1
    assert (row.diff() >= 0).all() and row.diff().max() < 0.1


def test_bands_hold_at_most_the_rows_of_a_window():
    bands = list(blended_bands(lambda part: part, torch.zeros(1, 1, 500, 40), (64, 40), 0.5))
    assert sum(band.shape[2] for band in bands) == 500
    assert max(band.shape[2] for band in bands) <= 64


def test_windows_slide_over_the_resized_image(net, image, monkeypatch):
    monkeypatch.setattr(net, "preprocessing", Preprocessing(fit=(96, 64)))
    seen = []
    forward = net.forward_features
    monkeypatch.setattr(net, "forward_features", lambda x: seen.append(tuple(x.shape[-2:])) or forward(x))
    labels = net.predict(image, window=(40, 48), overlap=0.25)
    assert labels.shape == (90, 130) and set(seen) == {(40, 48)}
    assert len(seen) == 2 * 3  # the resized image has 64x92 pixels


def test_windows_are_blended_and_resized_before_the_argmax(net):
    values = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))

    def network(part: torch.Tensor) -> torch.Tensor:
        return part

    expected = interpolate(values, (100, 150)).argmax(1)[0]
    labels = label_map(network, values, (100, 150), (40, 40), 0.25)
    assert (labels != expected).float().mean() < 1e-3


@pytest.mark.parametrize(
    ("window", "overlap", "message"),
    [
        ((16, 512), 0.25, "at least 32"),
        ((512,), 0.25, "a height and a width"),
        ((64, 64), 0.95, "0 to 0.9"),
        ((64, 64), -0.1, "0 to 0.9"),
        ((64, 64), float("nan"), "0 to 0.9"),
    ],
)
def test_invalid_window_is_refused(net, image, window, overlap, message):
    with pytest.raises(UserError, match=message):
        net.predict(image, window, overlap)
