"""Training from random weights on images that are constant, in part or wholly."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.recipes import load_recipe
from fanet.segmentation.training.train import train

from .tiny_run import state


def grey_card(rng: np.random.Generator) -> np.ndarray:
    return np.full((48, 48, 3), (124, 116, 104), np.uint8)  # 0 after normalisation


def black_frame(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((48, 48, 3), np.uint8)


def letterbox(rng: np.random.Generator) -> np.ndarray:
    image = rng.integers(256, size=(64, 64, 3), dtype=np.uint8)
    image[:20] = image[-20:] = 0
    return image


def smaller_than_the_crop(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(256, size=(40, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize("make", [grey_card, black_frame, letterbox, smaller_than_the_crop])
@pytest.mark.parametrize("backbone", ["test_fanet", "test_convnext", "test_resnet"])
def test_training_from_random_weights_starts(make, backbone, tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for index in range(2):
            image = make(rng)
            mask = np.zeros(image.shape[:2], np.uint8)
            mask[8:, 8:] = 1
            for kind, pixels in (("images", image), ("masks", mask)):
                folder = tmp_path / "data" / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    splits = "".join(f"  {split}: {{images: images/{split}, masks: masks/{split}}}\n" for split in ("train", "val"))
    (tmp_path / "data" / "dataset.yaml").write_text(f"classes: [background, object]\nsplits:\n{splits}")
    overrides = (
        f"model.backbone={backbone} model.pretrained_backbone=false model.head_channels=8 model.aux_channels=8 "
        f"data.dataset=folder data.root={tmp_path / 'data'} data.workers=0 augmentation.fit=null "
        "augmentation.crop=[64,64] evaluation.fit=null evaluation.multiple=1 scheduler.warmup_iterations=0 "
        "train.iterations=3 evaluation.every=3"
    )
    run = Path(tmp_path / "run")
    assert train(load_recipe("zerowaste", overrides.split()), run)["iteration"] == 3
    assert all(value.isfinite().all() for value in state(run)["model"].values())
