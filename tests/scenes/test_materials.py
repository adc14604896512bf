import numpy as np
import pytest

from fanet.scenes import shapes
from fanet.scenes.composition import MAKERS, object_sizes
from fanet.scenes.draw import Draw, hsv


def drawing(seed: int, difficulty: float = 0.2, detail: float = 1.0) -> Draw:
    return Draw(np.random.default_rng(seed), difficulty, detail)


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_objects_are_well_formed_at_every_size(maker):
    for seed in range(60):
        size = (6, 12, 40, 150)[seed % 4]
        thing = maker(drawing(seed, seed % 3 / 2, 1 + seed % 2), size)
        shape = thing.mask.shape
        assert thing.colour.shape == (*shape, 3) and thing.colour.dtype == np.float32
        assert thing.mask.dtype == np.float32 and 0 <= thing.mask.min() and thing.mask.max() > 0.5
        assert np.isfinite(thing.colour).all()
        assert thing.highlight is None or (thing.highlight.shape == shape and thing.highlight.dtype == np.float32)
        if thing.opacity is not None:
            assert thing.opacity.shape == shape and thing.opacity.dtype == np.float32
            assert 0 <= thing.opacity.min() and thing.opacity.max() <= 1


def test_large_frames_have_larger_objects_rather_than_many_more():
    small, large = (object_sizes(drawing(1), shape) for shape in ((256, 256), (1080, 1920)))
    assert large.max() > 2 * small.max()
    assert len(large) < 4 * len(small)


def test_objects_fit_small_frames():
    assert object_sizes(drawing(1), (32, 64)).max() <= 32


@pytest.mark.parametrize(
    ("hue", "expected"), [(0, (1, 0, 0)), (1 / 3, (0, 1, 0)), (2 / 3, (0, 0, 1)), (1, (1, 0, 0)), (1.5, (0, 1, 1))]
)
def test_hues_are_red_green_blue_in_turn(hue, expected):
    assert hsv(hue, 1, 1) == pytest.approx(expected, abs=1e-6)


def test_one_of_follows_its_weights():
    draw = drawing(0)
    picks = [draw.one_of({"never": 0, "often": 3, "seldom": 1}) for _ in range(400)]
    assert "never" not in picks
    assert 0.65 < picks.count("often") / len(picks) < 0.85


def test_circle_covers_the_area_of_a_circle():
    radius = shapes.superellipse_radius(*shapes.grid((100, 100)), power=2)
    assert shapes.superellipse((100, 100), radius, 1.0).mean() == pytest.approx(np.pi / 4, abs=0.01)


def test_polygon_covers_its_area():
    corners = np.array([[20, 20], [180, 20], [180, 120], [20, 120]], np.float32)
    # OpenCV counts the pixels on the outline as inside.
    assert shapes.polygon((150, 200), corners).sum() == pytest.approx(160 * 100, rel=0.04)
