import itertools

import pytest

from fanet.segmentation.training import train as module
from fanet.segmentation.training.train import train

from .tiny_run import tiny_recipe


@pytest.fixture
def at_step(monkeypatch):
    """Return a function that makes an action happen once, at the start of a step."""

    def install(iteration, action):
        begin, once = module.set_learning_rate, itertools.count()

        def patched(run):
            if run.progress.iteration == iteration and next(once) == 0:
                action()
            return begin(run)

        monkeypatch.setattr(module, "set_learning_rate", patched)

    return install


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An uninterrupted run: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(tiny_recipe(), folder)
