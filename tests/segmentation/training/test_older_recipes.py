"""Recipes and runs from before decoders and objectives could be chosen."""

import pytest
import torch
import yaml

from fanet.errors import UserError
from fanet.recipes import load_recipe
from fanet.segmentation import SegmentationModel
from fanet.segmentation.training.settings import OPTIONAL_KEYS, Settings
from fanet.segmentation.training.train import train

from .tiny_run import TINY, assert_same_weights, state, tiny_recipe


def older(recipe):
    """The same recipe without the keys that came later."""
    recipe = {section: dict(values) for section, values in recipe.items() if section != "objective"}
    for dotted in OPTIONAL_KEYS:
        section, key = dotted.split(".")
        recipe.get(section, {}).pop(key, None)
    return recipe


@pytest.fixture
def recipe_file(tmp_path):
    (tmp_path / "older.yaml").write_text(yaml.safe_dump(older(load_recipe("clutter"))))
    return tmp_path / "older.yaml"


def test_keys_that_came_later_are_these():
    assert OPTIONAL_KEYS == {
        "model.decoder": "upernet",
        "model.decoder_kwargs": {},
        "model.freeze_backbone": False,
        "model.init_from": None,
        "data.longest_side": None,
        "data.repeat_rare": 0.0,
        "data.trim": False,
        "data.unlabelled_split": None,
        "train.grad_checkpointing": False,
        "train.patience": None,
        "train.tracker": None,
        "scheduler.steps": None,
        "scheduler.step_factor": 0.1,
        "loss.hard_pixels": 1.0,
        "objective.name": "supervised",
        "objective.auxiliary_decoders": 30,
    }


def test_an_older_recipe_means_what_it_meant(recipe_file):
    overridden = load_recipe(recipe_file, TINY, OPTIONAL_KEYS)
    assert Settings.from_recipe(overridden) == Settings.from_recipe(tiny_recipe())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.decoder=linear"], {"decoder": "linear", "decoder_kwargs": {}}),
        (["model.decoder_kwargs={rates: [1]}"], {"decoder": "upernet", "decoder_kwargs": {"rates": [1]}}),
        (["model.decoder_kwargs.a=1", "model.decoder_kwargs.b.c=2"], {"decoder_kwargs": {"a": 1, "b": {"c": 2}}}),
    ],
)
def test_an_older_recipe_takes_overrides_of_later_keys(recipe_file, overrides, expected):
    settings = Settings.from_recipe(load_recipe(recipe_file, overrides, OPTIONAL_KEYS))
    assert {key: getattr(settings.model, key) for key in expected} == expected


def test_an_older_recipe_takes_an_override_of_a_later_section(recipe_file):
    overrides = ["objective.name=supervised", "data.unlabelled_split=test"]
    settings = Settings.from_recipe(load_recipe(recipe_file, overrides, OPTIONAL_KEYS))
    assert settings.objective.name == "supervised" and settings.data.unlabelled_split == "test"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.decodr=linear", "no key 'model.decodr': did you mean model.decoder"),
        ("objective.nam=cct", "no key 'objective.nam': did you mean objective.name"),
        ("model.decoder.depth=2", "no key 'model.decoder.depth'"),
    ],
)
def test_a_mistyped_later_key_is_an_error_that_suggests_the_right_one(recipe_file, override, message):
    with pytest.raises(UserError, match=message):
        load_recipe(recipe_file, [override], OPTIONAL_KEYS)


def test_an_older_recipe_trains_another_decoder(recipe_file, tmp_path):
    overrides = [*TINY, "model.decoder=linear", "train.iterations=2"]
    train(load_recipe(recipe_file, overrides, OPTIONAL_KEYS), tmp_path / "run")
    assert SegmentationModel.from_pretrained(tmp_path / "run" / "final").config["decoder"] == "linear"


@pytest.mark.parametrize("recipe", [tiny_recipe(), older(tiny_recipe())])
def test_an_older_run_is_resumed_and_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, finished, at_step, recipe):
    def crash():
        raise RuntimeError("power cut")

    at_step(5, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(older(tiny_recipe()), tmp_path)
    checkpoint = state(tmp_path)
    del checkpoint["objective"], checkpoint["classes"]
    assert checkpoint.keys() == {"model", "ema", "optimizer", "progress", "recipe"}
    torch.save(checkpoint, tmp_path / "last.pt")
    train(recipe, tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))


def test_an_older_run_cannot_be_resumed_with_another_decoder(tmp_path, finished):
    checkpoint = state(finished[0])
    torch.save(checkpoint | {"recipe": older(checkpoint["recipe"])}, tmp_path / "last.pt")
    with pytest.raises(UserError, match="model.decoder was 'upernet' and is now 'linear'"):
        train(tiny_recipe("model.decoder=linear"), tmp_path, resume=True)
