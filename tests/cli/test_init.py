"""`fanet init` on the command line."""

import os
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.cli import main
from fanet.recipes import load_recipe
from fanet.segmentation.training import fitted
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.trial import Trial

COST = Trial(
    0.5, 4.0, 6.0, peak_mb=2000.0, mb_per_sample=100.0, free_mb=8000.0, samples_per_step=8, iterations=9, evaluations=1
)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ten images and masks, in a working folder that holds nothing else."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number, name in enumerate(("ant", "bee", "cow", "doe", "elk", "fox", "gnu", "hen", "ibis", "jay")):
        for kind, suffix in (("images", ".jpg"), ("masks", ".png")):
            path = tmp_path / "my photos" / kind / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(256, size=(40, 48, 3), dtype=np.uint8)
            if kind == "masks":
                pixels = np.zeros((40, 48), np.uint8)
                pixels[8:24, number : number + 16] = 1
            Image.fromarray(pixels).save(path)
    return tmp_path / "my photos"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Take no steps; the recipes that were to be tried."""
    tried: list[dict] = []

    def attempt(recipe: dict, seconds: float) -> Trial:
        description = recipe["data"]["train_kwargs"].get("description")
        assert description is None or Path(recipe["data"]["root"], description).exists()
        tried.append(recipe)
        return COST

    monkeypatch.setattr(fitted, "try_steps", attempt)
    return tried


def test_folder_is_described_and_a_recipe_fitted(photos, quick, capsys):
    assert main(["init", "my photos", "--minutes", "5"]) == 0
    out = capsys.readouterr().out
    assert "10 images with masks" in out and "taken as background" in out and len(out.splitlines()) < 24
    assert sorted(os.listdir(photos)) == ["dataset.yaml", "images", "masks", "recipe.yaml", "train.txt", "val.txt"]
    recipe = load_recipe(photos)
    assert recipe["data"]["root"] == str(photos) or Path(recipe["data"]["root"]).resolve() == photos
    settings = Settings.from_recipe(recipe)
    assert settings.train.iterations * 0.5 + 5 * 4 + 6 == pytest.approx(300, rel=0.1)
    assert yaml.safe_load((photos / "recipe.yaml").read_text())["base"] == "own"


def test_commands_that_come_next_can_be_run(photos, quick, capsys):
    assert main(["init", "my photos"]) == 0
    commands = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("  fanet ")]
    assert [words[1] for words in commands] == ["data", "train", "evaluate", "predict"]
    assert main(commands[0][1:]) == 0 and commands[1][2] == "my photos"
    assert Path(commands[3][2]).is_file()


def test_nothing_is_overwritten(photos, quick, capsys):
    (photos / "recipe.yaml").write_text("mine")
    assert main(["init", "my photos"]) == 2
    error = capsys.readouterr().err
    assert "recipe.yaml, which is not overwritten: move it away" in error and error.count("\n") == 1
    assert sorted(os.listdir(photos)) == ["images", "masks", "recipe.yaml"]
    assert (photos / "recipe.yaml").read_text() == "mine" and not quick


def test_a_description_that_is_there_is_kept(photos, quick, capsys):
    assert main(["init", "my photos"]) == 0
    before = (photos / "dataset.yaml").read_bytes()
    (photos / "recipe.yaml").unlink()
    capsys.readouterr()
    assert main(["init", "my photos"]) == 0
    out = capsys.readouterr().out
    assert "dataset.yaml is there, and is used as it is" in out and out.count("dataset.yaml") == 1
    assert (photos / "dataset.yaml").read_bytes() == before and (photos / "recipe.yaml").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_nothing_stays_of_what_was_interrupted(photos, monkeypatch, stop):
    def attempt(recipe: dict, seconds: float) -> Trial:
        raise stop

    monkeypatch.setattr(fitted, "try_steps", attempt)
    if stop is KeyboardInterrupt:
        assert main(["init", "my photos"]) == 130
    else:
        with pytest.raises(stop):
            main(["init", "my photos"])
    assert sorted(os.listdir(photos)) == ["images", "masks"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["my photos/images/ant.jpg"], "there is no folder"),
        (["my photos", "--minutes", "0"], "--minutes must be above 0"),
        (["my photos", "--minutes", "nan"], "--minutes must be above 0"),
        (["my photos", "--minutes", "0.05"], "is too short"),
        ([""], "the name is empty"),
    ],
)
def test_mistakes_end_with_one_line(photos, quick, capsys, words, message):
    try:
        status = main(["init", *words])
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err.splitlines()
    assert status == 2 and message in error[-1]
    assert sorted(os.listdir(photos)) == ["images", "masks"]


def test_steps_are_really_tried(photos, capsys):
    assert main(["init", "my photos", "--minutes", "1"]) == 0
    recipe = Settings.from_recipe(load_recipe(photos))
    assert recipe.augmentation.fit == [64, 64] and recipe.train.iterations > 20
