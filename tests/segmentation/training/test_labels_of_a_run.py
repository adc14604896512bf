"""A run says before its first step what was left out of the data, and refuses data from which nothing can be learnt."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.data import FolderDataset
from fanet.segmentation.data.labelled import require_labels

from ...platforms import links
from .tiny_run import TINY


def data_set(root: Path, train: list, val: list, classes: tuple = ("background", "dog"), **keys: object) -> Path:
    """Write a data set with masks that hold the given values, half of the pixels each."""
    splits = {name: {"images": f"images/{name}", "masks": f"masks/{name}"} for name in ("train", "val")}
    for split, masks in (("train", train), ("val", val)):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number, values in enumerate(masks):
            mask = np.repeat(np.array(values, np.uint8), 40 // len(values))[None].repeat(40, axis=0)
            Image.fromarray(mask).save(root / "masks" / split / f"{number}.png")
            Image.effect_noise((40, 40), 50).convert("RGB").save(root / "images" / split / f"{number}.jpg")
    (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": list(classes), "splits": splits} | keys))
    return root


def train(root: Path, output: Path) -> int:
    data = ("data.dataset=folder", f"data.root={root}", "data.train_kwargs={}", "data.val_kwargs={}", "data.workers=0")
    return main(["train", "clutter", *TINY, *data, "train.iterations=2", "-o", str(output)])


@pytest.mark.parametrize(
    ("training", "validation", "keys", "message"),
    [
        ([[0, 255]], [[0, 255]], {}, "in all of the 1 masks of the split train only background is labelled, and 255"),
        ([[0, 255]] * 3, [[0, 1]], {}, "values: {0: 0, 255: 1} in dataset.yaml; correct the data set, or choose"),
        ([[0, 1]], [[1, 1], [1, 255]], {}, "the split val only dog is labelled, and 255 is read as ignored"),
        ([[0, 1]], [[255]], {}, "in all of the 1 masks of the split val no pixel is labelled"),
        ([[0, 1]], [[0, 1]], {"classes": ["dog"]}, "has one class, dog, so that there is nothing to tell apart"),
        ([[0, 1]], [[7, 255]], {"values": {0: 0, 1: 1, 7: "ignore", 255: 0}}, "only background is labelled, so there"),
    ],
)
def test_run_without_two_classes_is_refused_before_it_starts(tmp_path, capsys, training, validation, keys, message):
    root = data_set(tmp_path / "data", training, validation, **keys)
    assert train(root, tmp_path / "run") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert message in line and not (tmp_path / "run").exists()


def test_run_says_what_was_left_out(tmp_path, capsys):
    root = data_set(tmp_path / "data", [[0, 1], [1, 0]], [[0, 1]])
    (root / "images" / "train" / "notes.txt").write_text("")
    Image.new("L", (4, 4)).save(root / "masks" / "val" / "alone.png")
    assert train(root, tmp_path / "run") == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == [
        "note: train: images: 1 file left out (no images): notes.txt",
        f"note: val: 1 masks without an image left out: {root / 'masks' / 'val' / 'alone.png'}",
    ]


@links
def test_run_says_that_it_scores_images_that_it_learns_from(tmp_path, capsys):
    root = data_set(tmp_path / "data", [[0, 1], [1, 0]], [[0, 1]])
    (root / "images" / "val" / "0.jpg").unlink()
    (root / "images" / "val" / "0.jpg").symlink_to(root / "images" / "train" / "0.jpg")
    assert train(root, tmp_path / "run") == 0
    note = "note: 1 of the 1 images of the split val are also in train, so that scores say little about new images"
    assert note in capsys.readouterr().err.splitlines()


def test_few_masks_are_read_however_many_there_are(tmp_path, monkeypatch):
    read = []
    load = FolderDataset.load_labels
    monkeypatch.setattr(FolderDataset, "load_labels", lambda self, index: (read.append(index), load(self, index))[1])
    root = data_set(tmp_path, [[0, 1]] * 40, [[0]] * 40)
    assert require_labels(FolderDataset(root, "train"), "train", "data.train_split") == [] and read == [0]
    (line,) = require_labels(FolderDataset(root, "val"), "val", "data.val_split")
    assert line.startswith("in 32 of the 40 masks of the split val only background is labelled") and len(read) == 33


def test_mask_that_cannot_be_read_is_left_to_the_run(tmp_path):
    root = data_set(tmp_path, [[9, 9], [0, 0]], [[0, 1]])
    (line,) = require_labels(FolderDataset(root, "train"), "train", "data.train_split")
    assert line.startswith("in 1 of the 2 masks")


def test_validation_of_one_class_gives_no_score_to_trust(tmp_path, capsys):
    root = data_set(tmp_path / "data", [[0, 1]], [[0]] * 40)
    assert train(root, tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert "note: val: in 32 of the 40 masks of the split val only background" in error
    assert (
        "fewer than two classes are labelled in the validation split" in error and "100" not in error.split("error")[1]
    )
    with pytest.raises(UserError):
        require_labels(FolderDataset(data_set(tmp_path / "one", [[1]], [[0]]), "train"), "train", "data.train_split")
