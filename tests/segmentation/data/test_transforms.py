import cv2
import numpy as np
import pytest
import torch

from fanet.scenes import scene
from fanet.segmentation.data import Sample
from fanet.segmentation.data.transforms import Distortion, TrainTransform, largest_share, sample_rng

PLAIN = dict(fit=None, ratios=(1, 1), class_limit=1, flip=0, photometric=False, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture(scope="module")
def frame() -> Sample:
    """A scene enlarged to the size of a camera's frame."""
    image, labels = scene(3, 0, size=(270, 480))
    image = cv2.resize(image, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    return Sample("frame", image, cv2.resize(labels, (1920, 1080), interpolation=cv2.INTER_NEAREST))


def values(image: torch.Tensor) -> np.ndarray:
    """Return the image of a transform without normalisation as (H, W, 3) in 0..255."""
    return (255 * image).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("ratio", [0.5, 0.731, 1.0, 1.64, 2.0])
def test_resizing_agrees_with_opencv(frame, ratio):
    transform = TrainTransform(**PLAIN | dict(fit=(2048, 512), ratios=(ratio, ratio), crop=(1100, 2000)))
    image, labels = transform(frame, sample_rng(0))
    scale = min(int(2048 * ratio) / 1920, int(512 * ratio) / 1080)
    width, height = int(1920 * scale + 0.5), int(1080 * scale + 0.5)
    expected = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_LINEAR)
    difference = np.abs(values(image)[:height, :width] - expected)
    assert difference.max() < 1.001 and difference.mean() < 0.3
    expected = cv2.resize(frame.labels, (width, height), interpolation=cv2.INTER_NEAREST)
    assert (labels[:height, :width].numpy() != expected).mean() < 0.001
    assert (labels[height:] == 255).all() and (labels[:, width:] == 255).all(), "padded with the ignored label"
    assert not image[:, height:].any() and not image[:, :, width:].any()


def test_sample_is_repeated_by_its_seed(frame):
    transform = TrainTransform(crop=(128, 160))
    first, again, other = (transform(frame, sample_rng(7, iteration)) for iteration in (3, 3, 4))
    assert first[0].shape == (3, 128, 160) and first[0].dtype == torch.float32
    assert first[1].shape == (128, 160) and first[1].dtype == torch.int64
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert type(first[0]) is type(first[1]) is torch.Tensor


def test_image_and_labels_are_cropped_and_flipped_together():
    labels = np.random.default_rng(0).integers(5, size=(40, 48), dtype=np.uint8)
    sample = Sample("x", np.stack([labels] * 3, axis=-1), labels)
    transform = TrainTransform(**PLAIN | dict(crop=(24, 64), flip=0.5))
    seen = set()
    for seed in range(30):
        image, target = transform(sample, sample_rng(seed))
        assert np.allclose(values(image)[:, :48, 0], target[:, :48]) and (target[:, 48:] == 255).all()
        mirrored = not any((target[:, :48].numpy() == labels[top : top + 24]).all() for top in range(17))
        seen.add(mirrored)
    assert seen == {True, False}


@pytest.mark.parametrize("crop", [(160, 160), (96, 160)])
@pytest.mark.parametrize("size", [(100, 200), (200, 60), (50, 70)])
def test_turned_image_is_padded_to_the_crop(size, crop):
    labels = np.random.default_rng(0).integers(5, size=size, dtype=np.uint8)
    sample = Sample("x", np.stack([labels] * 3, axis=-1), labels)
    transform = TrainTransform(**PLAIN | dict(crop=crop, turns=True))
    counted = min(size[0], crop[0]) * min(size[1], crop[1])
    shapes = set()
    for seed in range(12):
        image, target = transform(sample, sample_rng(seed))
        assert image.shape == (3, *crop) and target.shape == crop
        inside = target != 255
        assert inside.sum() == counted and np.allclose(values(image)[..., 0][inside], target[inside])
        assert not image[:, ~inside].any()
        shapes.add((int(inside.any(1).sum()), int(inside.any(0).sum())))
    assert len(shapes) == (2 if crop[0] == crop[1] else 1), "quarter turns for square crops only"


def test_padding_is_zero_after_normalising():
    sample = Sample("x", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    image, _ = TrainTransform(**PLAIN | dict(crop=(6, 6), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))(
        sample, sample_rng(0)
    )
    assert (image[:, :4, :4] == -1).all() and not image[:, 4:].any() and not image[:, :, 4:].any()


def test_class_limit_makes_crops_of_almost_one_class_rarer():
    labels = np.zeros((64, 256), np.uint8)
    labels[:, 200:] = 1
    labels[:, 128:160] = 255
    sample = Sample("x", np.zeros((64, 256, 3), np.uint8), labels)

    def share_above_limit(limit: float) -> float:
        transform = TrainTransform(**PLAIN | dict(crop=(32, 32), class_limit=limit))
        windows = (transform(sample, sample_rng(seed))[1] for seed in range(200))
        return float(np.mean([largest_share(window) >= 0.75 for window in windows]))

    assert share_above_limit(1) > 0.85
    assert share_above_limit(0.75) < 0.6, "ten tries, each with a chance of one in ten"


@pytest.mark.parametrize(
    ("labels", "share"), [([0, 0, 0, 1], 0.75), ([255, 255, 0, 1], 0.5), ([255, 255], 1.0), ([4, 4, 255], 1.0)]
)
def test_ignored_pixels_do_not_count_in_the_class_share(labels, share):
    assert largest_share(torch.tensor(labels, dtype=torch.uint8)) == share


def opencv_distortion(image: np.ndarray, step: str, value: float) -> np.ndarray:
    """Apply one step in OpenCV's 8-bit HSV."""
    if step == "brightness":
        return np.clip(image.astype(np.float32) + value, 0, 255)
    if step == "contrast":
        return np.clip(image.astype(np.float32) * value, 0, 255)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    if step == "saturation":
        hsv[..., 1] = np.clip(hsv[..., 1] * value, 0, 255)
    else:
        hsv[..., 0] = (hsv[..., 0] + value) % 180
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)


@pytest.mark.parametrize(
    ("step", "amounts", "tolerance"),
    [
        ("brightness", (-32, 17.4, 32), 0.6),
        ("contrast", (0.5, 1.21, 1.5), 0.6),
        ("saturation", (0.5, 1.21, 1.5), 2.0),  # OpenCV's hues have steps of 2 degrees
        ("hue", (-18, 7, 17), 2.5),
    ],
)
def test_distortion_agrees_with_opencv(step, amounts, tolerance):
    noise = np.random.default_rng(0).integers(256, size=(30, 30, 3), dtype=np.uint8)
    image = cv2.resize(noise, (300, 300), interpolation=cv2.INTER_LINEAR)
    for amount in amounts:
        changed = Distortion(**{step: amount})(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        assert np.abs(changed - opencv_distortion(image, step, amount)).mean() < tolerance
        assert np.abs(changed.astype(float) - image).mean() > 2 * tolerance, "something must happen"


def test_contrast_is_changed_first_or_last():
    image = torch.full((3, 1, 1), 200, dtype=torch.uint8)
    image[0] = 100
    first = Distortion(contrast=1.5, saturation=0.5, contrast_first=True)(image)
    last = Distortion(contrast=1.5, saturation=0.5, contrast_first=False)(image)
    assert first.flatten().tolist() == [202, 255, 255] and last.flatten().tolist() == [225, 255, 255]


def test_draws_fill_their_ranges():
    drawn = [Distortion.draw(sample_rng(seed)) for seed in range(2000)]
    ranges = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-18, 17)}
    for name, (low, high) in ranges.items():
        used = [getattr(one, name) for one in drawn if getattr(one, name) is not None]
        assert 900 < len(used) < 1100
        margin = 0.02 * (high - low)
        assert low <= min(used) < low + margin and high - margin < max(used) <= high
    assert 900 < sum(one.contrast_first for one in drawn) < 1100
    assert len({one.hue for one in drawn}) == 37, "36 angles and none"
