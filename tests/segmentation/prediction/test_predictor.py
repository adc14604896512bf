from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation import Preprocessing, SegmentationModel
from fanet.segmentation.data import ClutterScenes
from fanet.segmentation.evaluation.evaluate import image_counts
from fanet.segmentation.prediction.engines.eager import in_evaluation_mode
from fanet.segmentation.prediction.predictor import Predictor

SCHEME = ClassScheme.numbered(3)
SIZES = [(64, 64), (45, 37), (33, 100)]
WINDOWS = [dict(window=None), dict(window=(32, 32), overlap=0.5), dict(window=(40, 200), overlap=0.0)]
VIEWS = [dict(), dict(flip=True), dict(scales=(0.5, 1.0, 1.75)), dict(scales=(0.75,), flip=True)]


def random_image(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)


def undecided(net: SegmentationModel) -> SegmentationModel:
    """Give a model biases by which every class wins somewhere, and logits that are far apart."""
    net.eval()
    with torch.no_grad():
        net.decode_head.conv_seg.weight.mul_(100)
        net.decode_head.conv_seg.bias -= net(net.preprocessing(random_image((64, 64)))).mean((0, 2, 3))
    return net


@pytest.fixture(scope="module")
def net() -> SegmentationModel:
    torch.manual_seed(0)
    return undecided(SegmentationModel("test_resnet", 3, "linear", classes=SCHEME))


def blended(net: SegmentationModel, x: torch.Tensor, window: tuple[int, int], overlap: float) -> torch.Tensor:
    """The logits of an image as weighted means over windows, all in memory at once and in float64."""
    height, width = x.shape[-2:]
    window = (min(window[0], height), min(window[1], width))
    total, weights = torch.zeros(1, len(SCHEME), height, width, dtype=torch.float64), torch.zeros(height, width)

    def starts(length: int, side: int) -> list[int]:
        count = -(-(length - side) // int(side * (1 - overlap))) + 1
        return [round(index * (length - side) / max(1, count - 1)) for index in range(count)]

    bells = [np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in window]
    weight = torch.from_numpy(np.outer(*bells))
    weights = weights.double()
    for top, left in product(starts(height, window[0]), starts(width, window[1])):
        place = (slice(top, top + window[0]), slice(left, left + window[1]))
        total[(..., *place)] += net(x[(..., *place)]) * weight
        weights[place] += weight
    return total / weights


def plain_probabilities(
    net: SegmentationModel,
    image: np.ndarray,
    window: tuple[int, int] | None = None,
    overlap: float = 0.25,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
) -> np.ndarray:
    """What `predict_probabilities` promises, written down step by step."""
    height, width = image.shape[:2]
    total = torch.zeros(1, len(SCHEME), height, width, dtype=torch.float64)
    with torch.no_grad():
        for scale, mirrored in product(scales, (False, True) if flip else (False,)):
            x = net.preprocessing.scaled(scale, (height, width))(image)
            x = x.flip(-1) if mirrored else x
            logits = net(x) if window is None else blended(net, x, window, overlap).float()
            logits = logits.flip(-1) if mirrored else logits
            total += F.interpolate(logits, (height, width), mode="bilinear").softmax(1)
    return (total / total.sum(1, keepdim=True))[0].numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("views", VIEWS)
def test_probabilities_sum_to_1_agree_with_a_plain_computation_and_with_labels(net, size, window, views):
    image = random_image(size)
    probabilities = net.predict_probabilities(image, **window, **views)
    assert probabilities.shape == (3, *size) and probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-6)
    if not (window["window"] and "flip" in views):  # windows move with a mirrored image: the next test
        np.testing.assert_allclose(probabilities, plain_probabilities(net, image, **window, **views), atol=1e-4)
    first, second = np.sort(probabilities, axis=0)[[-1, -2]]
    labels = net.predict(image, **window, **views)
    clear = first - second > 1e-6
    assert labels.dtype == np.uint8 and clear.mean() > 0.99 and len(np.unique(labels)) > 1
    np.testing.assert_array_equal(labels[clear], probabilities.argmax(0)[clear])
    together = net.predictor(**window, **views).labels_and_probabilities(image)
    np.testing.assert_array_equal(together[0], labels)
    np.testing.assert_array_equal(together[1], probabilities)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_mean_over_the_mirrored_image_is_mirrored_with_it(net, window):
    image = random_image((45, 52))
    probabilities = net.predict_probabilities(image, **window, flip=True)
    mirrored = net.predict_probabilities(image[:, ::-1], **window, flip=True)[..., ::-1]
    np.testing.assert_allclose(probabilities, mirrored, atol=2e-4)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.1), (torch.bfloat16, 0.5), (torch.float64, 1e-4)])
@pytest.mark.parametrize("arguments", [dict(), dict(window=(32, 32), scales=(1.0, 0.5), flip=True)])
def test_models_of_other_types_predict_nearly_the_same(net, dtype, tolerance, arguments):
    image = random_image((45, 37))
    torch.manual_seed(0)
    other = undecided(SegmentationModel("test_resnet", 3, "linear", classes=SCHEME)).to(dtype)
    probabilities = other.predict_probabilities(image, **arguments)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, net.predict_probabilities(image, **arguments), atol=tolerance)
    assert (other.predict(image, **arguments) == probabilities.argmax(0)).mean() > 0.99


def test_paths_images_and_arrays_are_predicted_alike(net, tmp_path):
    image = random_image((40, 48))
    Image.fromarray(image).save(tmp_path / "image.png")
    for given in (tmp_path / "image.png", str(tmp_path / "image.png"), Image.fromarray(image)):
        np.testing.assert_array_equal(net.predict(given), net.predict(image))
        np.testing.assert_array_equal(net.predict_probabilities(given), net.predict_probabilities(image))


class Brightness:
    """A network without parameters: NumPy arithmetic, whose result lands in the same memory again and again."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[int, ...], np.ndarray] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert x.dtype == torch.float32 and not x.requires_grad
        pixels = x.numpy()
        out = self.buffers.setdefault(pixels.shape, np.empty((1, 2, *pixels.shape[2:]), np.float32))
        out[:, 0], out[:, 1] = 0.5, pixels.mean(1)
        return torch.from_numpy(out)


@pytest.mark.parametrize(
    "arguments", [dict(), dict(window=(32, 32)), dict(flip=True), dict(scales=(1.0, 1.0), window=(40, 32))]
)
def test_an_engine_needs_no_torch_model(arguments):
    image = random_image((45, 37))
    preprocessing = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))
    predictor = Predictor(Brightness(), preprocessing, ClassScheme.numbered(2), **arguments)
    brightness = image.mean(-1) / 255
    clear = np.abs(brightness - 0.5) > 1e-5
    np.testing.assert_array_equal(predictor.labels(image)[clear], (brightness > 0.5)[clear])
    expected = 1 / (1 + np.exp(0.5 - brightness))
    np.testing.assert_allclose(predictor.probabilities(image)[1], expected, atol=1e-6)


def test_an_engine_without_a_torch_model_is_evaluated():
    scenes = ClutterScenes("val", count=2, size=40)

    def background(x: torch.Tensor) -> torch.Tensor:
        logits = np.zeros((1, 5, 1, 1), np.float32)
        logits[:, 0] = 1
        return torch.from_numpy(logits)

    counts = image_counts(Predictor(background, Preprocessing(), scenes.classes), scenes)
    assert counts.matrix.sum() == 2 * 40 * 40 and counts.matrix[:, 1:].sum() == 0


def test_every_module_keeps_its_mode():
    net = SegmentationModel("test_resnet", 3, "deeplabv3plus", 8).train()
    net.backbone.eval()  # frozen
    net.decode_head.aspp.eval()
    modes = {name: module.training for name, module in net.named_modules()}
    assert len(set(modes.values())) == 2
    image = random_image((40, 48))
    labels = net.predict(image)
    assert {name: module.training for name, module in net.named_modules()} == modes
    np.testing.assert_array_equal(labels, net.eval().predict(image))
    assert not any(module.training for module in net.modules())


def test_modes_are_restored_after_an_error():
    net = SegmentationModel("test_resnet", 3, "linear").train()
    net.backbone.eval()
    with pytest.raises(RuntimeError, match="bug"), in_evaluation_mode(net):
        assert not any(module.training for module in net.modules())
        raise RuntimeError("bug")
    assert net.training and net.decode_head.training and not any(module.training for module in net.backbone.modules())


@pytest.mark.parametrize("scales", [(), (0.0,), (-1.0,), (1.0, 9.0), (0.1,), (float("nan"),), (float("inf"),)])
def test_scales_out_of_range_are_an_error_of_one_line(net, scales):
    for method in (net.predict, net.predict_probabilities):
        with pytest.raises(UserError, match=r"^scales must be one or more numbers in 0.125..8, got \(") as caught:
            method(random_image((32, 32)), scales=scales)
        assert "\n" not in str(caught.value)
