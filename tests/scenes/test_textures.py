import numpy as np
import pytest

from fanet.scenes import textures


@pytest.mark.parametrize("kind", ["cloud", "soft", "grain", "ridge", "crumple", "print", "fibre"])
def test_tiles_are_finite_read_only_and_in_their_range(kind):
    for tile in textures.tiles(kind):
        assert tile.shape == (textures.TILE, textures.TILE) and tile.dtype == np.float32
        assert np.isfinite(tile).all() and tile.std() > 0.02
        assert not tile.flags.writeable
        if kind in ("grain", "fibre"):
            assert abs(tile.mean()) < 0.1
        else:
            assert tile.min() >= 0 and tile.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (700, 20)])
@pytest.mark.parametrize("stretch", [0.4, 1, 3.7])
def test_windows_have_the_requested_shape(shape, stretch):
    cut = textures.window(np.random.default_rng(0), "cloud", shape, stretch)
    assert cut.shape == shape and cut.dtype == np.float32
