import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.media.images import read_labels
from fanet.segmentation import BatchPredictor, SegmentationModel, load_model
from fanet.segmentation.network.shipped import DEFAULT, FOLDER, shipped_models, trained_on


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory, with a model of one's own in `./clutter`."""
    torch.manual_seed(0)
    SegmentationModel("test_resnet", 5, "linear").save_pretrained(tmp_path / "clutter")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_default_is_one_of_the_models_inside_the_package():
    assert DEFAULT == "clutter" and DEFAULT in shipped_models()
    assert all((FOLDER / name / "model.safetensors").is_file() for name in shipped_models())


def test_every_model_inside_the_package_says_what_it_was_trained_on():
    assert all(trained_on(name) for name in shipped_models())
    assert trained_on("clutter") == "generated scenes of cluttered waste"
    assert trained_on("bags") == "photographs of rubbish bags (WoosongVision)"


def test_model_of_photographs_sees_images_at_sides_like_those_of_its_crops():
    assert load_model("bags").preprocessing.multiple == 32


def test_models_trained_on_the_images_of_others_come_with_a_card_that_names_them():
    card = (FOLDER / "bags" / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card and "WoosongVision" in card and "CC BY 4.0" in card
    assert "## Where it fails" in card


def test_the_model_of_photographs_predicts_at_the_size_of_the_image():
    model = load_model("bags")
    assert model.classes.names == ("background", "general_trashbag", "other_trashbag")
    assert model.predict(np.zeros((97, 131, 3), dtype=np.uint8)).shape == (97, 131)
    assert (FOLDER / "bags" / "model.safetensors").stat().st_size < 5e6


def test_a_bare_name_is_the_model_inside_the_package(folder):
    for name in (None, "clutter"):
        assert load_model(name).config["backbone"] == "fanet_pico"
    assert BatchPredictor("clutter").predictor.engine.network.model.config["backbone"] == "fanet_pico"
    assert not load_model("clutter").training


@pytest.mark.parametrize("name", ["./clutter", Path("clutter"), "clutter/", "clutter/model.safetensors"])
def test_a_path_is_a_folder_or_file_of_ones_own(folder, name):
    assert load_model(name).config["backbone"] == "test_resnet"


def test_a_bare_name_that_is_no_model_inside_is_a_folder(folder):
    shutil.move("clutter", "mine")
    assert load_model("mine").config["backbone"] == "test_resnet"


def test_an_unknown_bare_name_is_an_error_of_one_line_that_names_the_models_inside():
    with pytest.raises(
        UserError, match="^cluter: no such folder or file, and no model of that name .*bags, clutter$"
    ) as caught:
        load_model("cluter")
    assert "\n" not in str(caught.value)


def test_the_command_line_takes_the_same_names(folder, capsys):
    image = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)
    Image.fromarray(image).save("image.png")
    for name, output in (("clutter", "inside"), ("./clutter", "own")):
        assert main(["predict", "image.png", "--model", name, "-o", output]) == 0
        np.testing.assert_array_equal(
            read_labels(folder / output / "image_labels.png"), load_model(name).predict(image)
        )
    capsys.readouterr()
    assert main(["predict", "image.png", "--model", "cluter", "-o", "none"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "inside the package" in captured.err
    assert not (folder / "none").exists()
