import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

import fanet
from fanet.classes import ZEROWASTE
from fanet.scenes import scene, textures


def digest(*arguments, **options) -> str:
    image, labels = scene(*arguments, **options)
    return hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest()


def colour_only_error(difficulty: float, scenes: int = 24) -> float:
    """Return the error rate of predicting the most frequent class of each pixel's colour, in 8^3 bins."""
    counts = np.zeros((8**3, len(ZEROWASTE)))
    for index in range(scenes):
        image, labels = scene(5, index, 96, difficulty)
        bins = (image.astype(int) // 32) @ np.array([64, 8, 1])
        np.add.at(counts, (bins.ravel(), labels.ravel()), 1)
    # Each class counts the same, so that difficulty's effect on the shares of the classes does not matter.
    counts /= counts.sum(axis=0)
    return 1 - counts.max(axis=1).sum() / counts.sum()


# Recorded when scenes were published: the digest with these versions, and what others may not change either.
RECORDED_WITH = ("2.4.6", "5.0.0")  # NumPy, OpenCV
RECORDED = {
    (0, 0, 128, 0.2): ("5f8d0da8003a256c", 103.1831, 0.6110),
    (1, 7, (48, 80), 0.5): ("8b53353de01d2f9f", 73.9856, 0.2568),
    (2000003, 3, 256, 0.2): ("b62ab0b781c76b85", 83.3550, 0.4033),
    (5, 2, (97, 64), 1.0): ("97c09e4a234fce14", 72.5563, 0.4311),
    (3, 1, (300, 420), 0.0): ("23ed4ac4cc2fef56", 110.8678, 0.3153),
}


@pytest.mark.parametrize("arguments", RECORDED)
def test_scenes_stay_what_they_were(arguments):
    recorded, brightness, covered = RECORDED[arguments]
    image, labels = scene(*arguments)
    assert image.mean() == pytest.approx(brightness, abs=0.05)
    assert (labels > 0).mean() == pytest.approx(covered, abs=0.002)
    if (np.__version__, cv2.__version__) == RECORDED_WITH:
        assert digest(*arguments).startswith(recorded)


def test_scenes_do_not_depend_on_those_drawn_before():
    forwards = [digest(1, index, 64) for index in range(4)]
    backwards = [digest(1, index, 64) for index in reversed(range(4))]
    assert forwards == backwards[::-1]


def test_scenes_do_not_depend_on_when_textures_were_made():
    before = digest(1, 0, 64)
    textures.tiles.cache_clear()
    textures.tiles("print")
    assert digest(1, 0, 64) == before


def test_another_process_draws_the_same_bytes():
    # A stand-in for the package saves the import of the models, which takes seconds.
    code = (
        "import hashlib, sys, types; package = types.ModuleType('fanet'); package.__path__ = [sys.argv[1]];"
        "sys.modules['fanet'] = package; from fanet.scenes import scene; image, labels = scene(1, 7, (48, 80), 0.5);"
        "print(hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, *fanet.__path__]
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == digest(1, 7, (48, 80), 0.5)


def test_scenes_do_not_depend_on_opencv_threads_and_leave_their_number_alone():
    threads = cv2.getNumThreads()
    try:
        digests = set()
        for count in (1, 3):
            cv2.setNumThreads(count)
            digests.add(digest(2, 0, 256))
            assert cv2.getNumThreads() == count
    finally:
        cv2.setNumThreads(threads)
    assert len(digests) == 1


def test_seed_index_and_difficulty_each_change_the_scene():
    assert len({digest(1, 1, 64), digest(2, 1, 64), digest(1, 2, 64), digest(1, 1, 64, 0.3)}) == 4


@pytest.mark.parametrize("size", [32, 33, 128, (32, 200), (200, 32), (97, 64), (300, 420)])
def test_any_size_gives_an_image_and_labels_of_that_size(size):
    image, labels = scene(1, 0, size)
    shape = (size, size) if isinstance(size, int) else size
    assert image.shape == (*shape, 3) and image.dtype == np.uint8
    assert labels.shape == shape and labels.dtype == np.uint8
    assert labels.max() < len(ZEROWASTE)
    assert image.std() > 5


def test_every_class_occurs_and_none_dominates():
    counts = sum(np.bincount(scene(1, index, 96)[1].ravel(), minlength=len(ZEROWASTE)) for index in range(40))
    shares = counts / counts.sum()
    assert len(shares) == len(ZEROWASTE)
    assert 0.4 < shares[0] < 0.6
    assert all(0.05 < share < 0.25 for share in shares[1:])


@pytest.mark.parametrize("difficulty", [0, 1])
def test_both_ends_of_difficulty_draw_objects(difficulty):
    assert all(scene(1, index, 64, difficulty)[1].any() for index in range(10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 64, -0.1), "difficulty"),
        ((0, 0, 64, 1.1), "difficulty"),
        ((0, 0, 64, float("nan")), "difficulty"),
        ((0, 0, 31), "at least 32"),
        ((0, 0, (64, 31)), "at least 32"),
        ((-1, 0, 64), "seed and index"),
        ((0, -1, 64), "seed and index"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        scene(*arguments)


def test_colour_predicts_the_class_less_well_at_high_difficulty():
    assert colour_only_error(0.0) + 0.03 < colour_only_error(1.0)


def test_large_frames_are_covered_as_densely_as_small_ones():
    small = np.mean([(scene(4, index, 256)[1] > 0).mean() for index in range(6)])
    large = np.mean([(scene(4, index, (400, 600))[1] > 0).mean() for index in range(4)])
    assert abs(small - large) < 0.2
