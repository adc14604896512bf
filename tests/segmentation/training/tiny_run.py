"""A training run of a few seconds, and its results."""

import torch

from fanet.recipes import load_recipe

TINY = (
    "model.backbone=test_fanet",
    "model.backbone_kwargs.drop_path_rate=0.2",  # so that a lost random state shows
    "model.head_channels=8",
    "model.aux_channels=8",
    "model.dropout=0.1",
    "data.train_kwargs={count: 4, size: [40, 40]}",
    "data.val_kwargs={count: 2, size: [40, 40]}",
    "augmentation.crop=[32, 32]",
    "train.iterations=6",
    "train.batch_size=2",
    "scheduler.warmup_iterations=1",
    "evaluation.every=4",
)


def tiny_recipe(*overrides):
    return load_recipe("clutter", [*TINY, *overrides])


def state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


def assert_same_weights(one, other):
    for part in ("model", "ema"):
        assert one[part].keys() == other[part].keys()
        for name in one[part]:
            assert torch.equal(one[part][name], other[part][name]), f"{part}: {name}"
