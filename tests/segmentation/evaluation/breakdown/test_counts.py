"""What is counted of an image, against plain recomputations, a public implementation's numbers and known answers."""

import itertools
import math

import numpy as np
import pytest

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.evaluation.breakdown import build_breakdowns
from fanet.segmentation.evaluation.breakdown.base import Judged
from fanet.segmentation.evaluation.breakdown.borders import BorderBands, BoundaryIou, border_distance, boundary
from fanet.segmentation.evaluation.breakdown.calibration import BINS, Calibration, calibration_error
from fanet.segmentation.evaluation.breakdown.sizes import OBJECT_SIZES, ObjectSizes
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, margins_of, scores_of

CLASSES = ClassScheme(("background", "can", "bag", "never"))
IGNORED = CLASSES.ignore_index


def patches(seed: int, size: tuple[int, int] = (23, 31), ignored: bool = True) -> np.ndarray:
    """Return labels of blocks and single pixels, some of them ignored; the class `never` does not occur."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 3, [-(-side // 4) for side in size]).repeat(4, 0).repeat(4, 1)[: size[0], : size[1]]
    labels = np.where(rng.random(size) < 0.1, rng.integers(0, 3, size), coarse).astype(np.uint8)
    labels[rng.random(size) < 0.05 * ignored] = IGNORED
    return labels


def judged(truth: np.ndarray, prediction: np.ndarray, confidence: np.ndarray | None = None) -> Judged:
    sure = np.ones(truth.shape, np.float32) if confidence is None else confidence
    return Judged.of(truth, prediction, sure, IGNORED)


def margins(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    confusion = ConfusionMatrix(len(CLASSES), IGNORED)
    confusion.update(prediction, truth)
    return margins_of(confusion.matrix)


def neighbours(place: tuple[int, int], shape: tuple[int, int], reach: int = 1) -> set[tuple[int, int]]:
    around = itertools.product(*(range(x - reach, x + reach + 1) for x in place))
    return {(row, column) for row, column in around if 0 <= row < shape[0] and 0 <= column < shape[1]}


def plain_regions(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    left, found = set(zip(*(side.tolist() for side in np.nonzero(mask)), strict=True)), []
    while left:
        region, edge = set(), {left.pop()}
        while edge:
            region |= edge
            edge = {near for place in edge for near in neighbours(place, mask.shape)} & left
            left -= edge
        found.append(region)
    return found


def plain_sizes(truth: np.ndarray, prediction: np.ndarray, bounds: tuple[float, ...]) -> np.ndarray:
    """Count as `ObjectSizes` says it does, from sets of pixels."""
    counts = np.zeros((len(bounds) + 1, 4, len(CLASSES)), int)

    def size(region: set) -> int:
        return sum(len(region) > bound * truth.size for bound in bounds)

    for index in range(1, len(CLASSES)):
        objects = plain_regions(truth == index)
        for region in objects:
            hits = sum(prediction[place] == index for place in region)
            counts[size(region), :, index] += (hits, len(region), hits, 1)
        for region in plain_regions((prediction == index) & (truth != IGNORED)):
            covers = max(objects, key=lambda one: len(one & region), default=set())
            wrong = sum(truth[place] != index for place in region)
            counts[size(covers if covers & region else region), 2, index] += wrong
    return counts


def test_objects_by_size_are_counted_as_sets_of_pixels():
    for seed in range(4):
        truth, prediction = patches(seed), patches(seed + 1, ignored=False)
        differs = np.random.default_rng(seed).random(truth.shape) < 0.3
        prediction = np.where(differs, prediction, truth)
        prediction[prediction == IGNORED] = 1
        bounds = (0.02, 0.1)
        counts = ObjectSizes(CLASSES, bounds).count(judged(truth, prediction))
        expected = plain_sizes(truth, prediction, bounds)
        assert (counts[:, [0, 1, 3]] == expected[:, [0, 1, 3]]).all()
        # a region that covers as much of two objects may count at either
        assert np.abs(counts[:, 2] - expected[:, 2]).sum() <= 0.1 * expected[:, 2].sum()
        assert (counts[:, :3].sum(axis=0)[:, 1:] == margins(truth, prediction)[:, 1:]).all(), "sizes add up"
        assert not counts[:, :, 0].any(), "the background is no object"


def test_false_pixels_count_at_the_size_of_what_they_belong_to():
    truth, prediction = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    truth[:5, :5] = 1  # small: 0.25 %
    truth[50:, :20] = 1  # large: 10 %
    prediction[:5, :7] = 1  # the small one with 10 pixels too many
    prediction[50:, :21] = 1  # the large one with 50
    prediction[20:25, 80:90] = 1  # of its own: 0.5 %
    counts = ObjectSizes(CLASSES).count(judged(truth, prediction))[:, :, 1]
    assert counts.tolist() == [[25, 25, 35, 1], [0, 0, 50, 0], [1000, 1000, 1050, 1]]


def test_sizes_of_objects_are_those_of_coco_as_shares():
    assert [share * 640 * 480 for share in OBJECT_SIZES] == pytest.approx([32**2, 96**2])


@pytest.mark.parametrize("seed", range(3))
def test_bands_are_those_of_the_nearest_pixel_of_another_class(seed):
    truth, prediction = patches(seed), patches(seed + 10, ignored=False)
    truth[:16, :20] = np.where(truth[:16, :20] == IGNORED, IGNORED, 1)  # so that some pixels are far from any border
    expected = np.zeros((4, 3, len(CLASSES)), int)
    distances = np.full(truth.shape, np.nan)
    for place in np.ndindex(truth.shape):
        if truth[place] == IGNORED:
            continue
        others = np.argwhere((truth != truth[place]) & (truth != IGNORED))
        distances[place] = np.abs(others - place).max(axis=1).min()
        band = sum(distances[place] > bound for bound in (1, 2, 4))
        hit = truth[place] == prediction[place]
        expected[band, 0, truth[place]] += hit
        expected[band, 1, truth[place]] += 1
        expected[band, 2, prediction[place]] += 1
    np.testing.assert_array_equal(border_distance(truth, IGNORED), distances)
    counts = BorderBands(CLASSES, (1, 2, 4)).count(judged(truth, prediction))
    assert (counts == expected).all() and expected[3].any()
    assert (counts.sum(axis=0) == margins(truth, prediction)).all(), "bands add up"


def test_image_of_one_class_has_no_border():
    truth = np.full((9, 9), 2, np.uint8)
    truth[0] = IGNORED
    assert (border_distance(truth, IGNORED)[1:] == math.inf).all()
    assert BorderBands(CLASSES).count(judged(truth, truth))[-1, 1].tolist() == [0, 0, 72, 0]


@pytest.mark.parametrize("shape", [(1, 1), (12, 9), (60, 80)])
def test_boundary_is_what_is_near_a_pixel_outside(shape):
    mask = np.random.default_rng(0).random(shape) < 0.9
    reach = max(1, round(0.02 * math.hypot(*shape)))
    outside = np.pad(~mask, reach, constant_values=True)
    windows = np.lib.stride_tricks.sliding_window_view(outside, (2 * reach + 1, 2 * reach + 1))
    assert (boundary(mask) == mask & windows.any(axis=(2, 3))).all()


def test_boundary_iou_has_the_numbers_of_the_authors_implementation():
    """The counts were computed with `mask_to_boundary` of github.com/bowenc0221/boundary-iou-api."""
    y, x = np.mgrid[:240, :320]
    truth, prediction = np.zeros((2, 240, 320), np.uint8)

    def box(row: int, column: int, high: int, wide: int) -> np.ndarray:
        return (abs(y - row) <= high) & (abs(x - column) <= wide)

    truth[(x - 120) ** 2 + (y - 90) ** 2 < 70**2] = 1
    truth[box(180, 250, 50, 80)] = 2
    truth[abs(x - y) < 9] = 3
    prediction[(x - 126) ** 2 + (y - 96) ** 2 < 66**2] = 1
    prediction[box(176, 256, 46, 80)] = 2
    prediction[abs(x - y - 3) < 8] = 3
    prediction[box(30, 290, 5, 5)] = 2
    counts = BoundaryIou(CLASSES).count(judged(truth, prediction))
    assert counts.T.tolist() == [[11793, 14679, 16281], [3853, 6370, 5992], [3261, 4928, 4505], [3110, 4044, 3590]]
    expected = [0.6152762560651119, 0.4528146668233635, 0.528353856124433, 0.687444739168877]
    assert scores_of(counts) == pytest.approx([*expected, np.mean(expected)], rel=1e-12)


def test_calibration_error_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    truth, prediction = patches(0), patches(1, ignored=False)
    confidence = rng.uniform(0.25, 1, truth.shape).astype(np.float32)
    confidence[0, :3] = 1, 0.2, np.float32(1 / 15)
    pixels = [
        (float(confidence[place]), truth[place] == prediction[place])
        for place in np.ndindex(truth.shape)
        if truth[place] != IGNORED
    ]
    expected = 0.0
    for number in range(BINS):
        of_bin = [pair for pair in pixels if number / BINS < pair[0] <= (number + 1) / BINS]
        if of_bin:
            sure, right = np.mean(of_bin, axis=0)
            expected += len(of_bin) / len(pixels) * abs(sure - right)
    counts = Calibration(CLASSES).count(judged(truth, prediction, confidence))
    assert counts[:, 0].sum() == len(pixels)
    assert calibration_error(counts) == pytest.approx(expected, rel=1e-9)


def test_known_calibration_errors():
    truth = np.zeros((10, 10), np.uint8)
    half = truth.copy()
    half[:5] = 1
    sure = np.ones((10, 10), np.float32)
    for prediction, confidence, expected in ((truth, sure, 0), (half, sure, 0.5), (half, 0.5 * sure, 0)):
        counts = Calibration(CLASSES).count(judged(truth, prediction, confidence))
        assert calibration_error(counts) == pytest.approx(expected)


@pytest.mark.parametrize("key", ["by_class", "by_size", "by_border", "boundary_iou", "calibration"])
def test_perfect_predictions_score_100_and_empty_images_nothing(key):
    breakdown = build_breakdowns(["class", "size", "border"], CLASSES)[key]
    for truth, expected in (
        (patches(0), 100.0),
        (np.full((7, 5), IGNORED, np.uint8), None),
        (np.array([[1]], np.uint8), 100.0),  # a single pixel
    ):
        counts = breakdown.count(judged(truth, np.where(truth == IGNORED, np.uint8(2), truth)))
        assert counts.shape == breakdown.shape
        scores = breakdown.scores(np.stack([counts, counts]).astype(breakdown.dtype), 20)
        if key == "calibration":
            assert scores["ece"] == (None if expected is None else 0)
            continue
        for part in scores.get("groups", [scores]):
            assert part["miou"] in (expected, None) and part["iou"]["never"] is None
            assert part["miou_low"] == part["miou"] == part["miou_high"]
            assert list(part["iou_low"]) == list(CLASSES.names)
        assert any(part["miou"] == expected for part in scores.get("groups", [scores]))


def test_intervals_are_left_out_without_resamples():
    breakdowns = build_breakdowns(["class", "calibration"], CLASSES)
    for key, breakdown in breakdowns.items():
        counts = breakdown.count(judged(patches(0), patches(1, ignored=False)))[None].repeat(2, 0)
        scores = breakdown.scores(counts, 0)
        assert scores[f"{'ece' if key == 'calibration' else 'miou'}_low"] is None


@pytest.mark.parametrize(
    ("by", "bounds", "message"),
    [
        (["shape"], {}, "by class, size, border, calibration, not by 'shape'"),
        (["size"], {"object_sizes": (0.1, 0.05)}, "ascending order, got 0.1 0.05"),
        (["size"], {"object_sizes": (0.1, 1.5)}, "at most 1"),
        (["size"], {"object_sizes": (float("nan"),)}, "got nan"),
        (["border"], {"border_bands": (0, 3)}, "above 0"),
        (["border"], {"border_bands": ()}, "bands around borders"),
    ],
)
def test_unknown_ways_and_wrong_bounds_are_refused(by, bounds, message):
    with pytest.raises(UserError, match=message):
        build_breakdowns(by, CLASSES, **bounds)


def test_calibration_comes_with_every_other_way():
    assert list(build_breakdowns(["size"], CLASSES)) == ["by_size", "calibration"]
    assert list(build_breakdowns(["calibration"], CLASSES)) == ["calibration"]
    assert build_breakdowns([], CLASSES) == {}
