import itertools

import pytest

from fanet.segmentation.training.train import Trainer, train

from .tiny_run import tiny_recipe


@pytest.fixture
def at_step(monkeypatch):
    """Has something happen at the start of a step, once."""

    def install(iteration, action):
        step, once = Trainer._step, itertools.count()

        def patched(trainer, *args):
            if trainer.progress.iteration == iteration and next(once) == 0:
                action()
            return step(trainer, *args)

        monkeypatch.setattr(Trainer, "_step", patched)

    return install


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing disturbed: its folder and what `train` returned."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, train(tiny_recipe(), folder)
