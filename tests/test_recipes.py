import re
import shlex

import pytest

from fanet.errors import UserError
from fanet.recipes import available, flatten, is_for_timm, load_recipe, recipe_path
from fanet.segmentation.training.settings import Settings


def test_every_recipe_is_found_by_its_name():
    assert "clutter" in available()
    for name in available():
        assert recipe_path(name).is_file()
        assert is_for_timm(recipe_path(name)) or load_recipe(name)


SEGMENTATION = [name for name in available() if not is_for_timm(recipe_path(name))]


@pytest.mark.parametrize("name", SEGMENTATION)
@pytest.mark.parametrize(
    "field", ["Source:", "Expected:", "Cost:", "One GPU.*: +fanet train", "Eight GPUs: +torchrun", "Smoke run"]
)
def test_header_has_every_field(name, field):
    header = recipe_path(name).read_text(encoding="utf-8").partition("\n\n")[0]
    assert re.search(f"^# {field}", header, re.MULTILINE)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_commands_in_the_header_fit_the_settings(name):
    header = "".join(
        line.removeprefix("#") for line in recipe_path(name).read_text(encoding="utf-8").splitlines(keepends=True)
    )
    commands = re.findall(r"fanet train ((?:.*\\\n)*.*)", header.partition("\nmodel:")[0])
    assert len(commands) == 3
    for command in commands:
        recipe, *words = shlex.split(command.replace("\\\n", " "))
        overrides = words[: words.index("-o")]
        settings = Settings.from_recipe(load_recipe(recipe, overrides))
        assert settings.train.batch_size % 8 == 0 or "batch_size" not in command


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optimizer.lr=1e-3", "optimizer.lr", 0.001),
        ("optimizer.lr=.5", "optimizer.lr", 0.5),
        ("train.iterations=7", "train.iterations", 7),
        ("augmentation.crop=[64, 96]", "augmentation.crop", [64, 96]),
        ("train.channels_last=false", "train.channels_last", False),
        ("model.backbone=resnet18.a=b", "model.backbone", "resnet18.a=b"),
        ("model.backbone_kwargs.drop_path_rate=0.1", "model.backbone_kwargs.drop_path_rate", 0.1),
        ("model.backbone_kwargs.norm.eps=1e-6", "model.backbone_kwargs.norm.eps", 1e-6),
    ],
)
def test_override_changes_one_value_and_keeps_the_others(override, key, value):
    before, after = dict(flatten(load_recipe("clutter"))), dict(flatten(load_recipe("clutter", [override])))
    assert after[key] == value
    assert type(after[key]) is type(value)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed - {"model.backbone_kwargs"} == {key}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.iteration=7", "did you mean train.iterations"),
        ("iterations=7", "did you mean train.iterations"),
        ("augmentation.crop.height=7", "no key 'augmentation.crop.height'"),
        ("train=7", "train must be a mapping"),
        ("train.iterations", "KEY=VALUE"),
        ("=7", "KEY=VALUE"),
        ("data.train_kwargs.count.x=7", "no key 'data.train_kwargs.count.x'"),
        ("augmentation.crop=[64", "not valid YAML"),
    ],
)
def test_unusable_override_is_refused_in_one_line(override, message):
    with pytest.raises(UserError, match=message) as caught:
        Settings.from_recipe(load_recipe("clutter", [override]))
    assert "\n" not in str(caught.value)


def test_recipe_is_read_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_path("clutter").read_text().replace("lr: 2.0e-2", "lr: 4e-3"))
    assert load_recipe(path)["optimizer"]["lr"] == 0.004
    assert load_recipe(str(path), ["train.seed=9"])["train"]["seed"] == 9


def test_unknown_recipe_is_refused_with_a_similar_one():
    with pytest.raises(UserError, match="did you mean clutter"):
        load_recipe("cluter")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("- a\n", "mapping"),
        ("a: [", "not valid YAML"),
        ("", "mapping"),
        ("train: {seed: 1, seed: 2}", "the key seed is in line 1 and again in line 1"),
    ],
)
def test_file_that_is_no_recipe_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda recipe: recipe["train"].pop("amp"), "lacks the key 'train.amp'"),
        (lambda recipe: recipe.pop("loss"), "lacks the key 'loss'"),
        (lambda recipe: recipe["train"].update(amp="fp8"), "train.amp must be none or bf16 or auto"),
        (lambda recipe: recipe["train"].update(ampp="bf16"), "did you mean train.amp"),
        (lambda recipe: recipe["train"].update(iterations=2.5), "train.iterations must be a whole number"),
        (lambda recipe: recipe["train"].update(iterations=True), "train.iterations must be a whole number"),
        (lambda recipe: recipe["train"].update(batch_size=0), "train.batch_size must be at least 1"),
        (lambda recipe: recipe["augmentation"].update(crop=[64, "64"]), "augmentation.crop must be a whole number"),
        (lambda recipe: recipe["augmentation"].update(crop=[64]), "augmentation.crop must be two numbers"),
        (lambda recipe: recipe["augmentation"].update(ratios=[2.0, 0.5]), r"ratios must be \[low, high\]"),
        (lambda recipe: recipe["augmentation"].update(fit="large"), "a list, .* or null"),
        (lambda recipe: recipe["data"].update(dataset="zero"), "data.dataset must be zerowaste or clutter"),
        (
            lambda recipe: recipe["data"].update(val_split="train", val_kwargs=recipe["data"]["train_kwargs"]),
            "same samples",
        ),
        (lambda recipe: recipe["scheduler"].update(warmup_iterations=10**6), "warmup_iterations must be in 0"),
        (lambda recipe: recipe["optimizer"].update(lr=-1), "optimizer.lr must be at least 0"),
        (lambda recipe: recipe["optimizer"].update(lr=float("inf")), "optimizer.lr must be a finite number"),
        (lambda recipe: recipe["optimizer"].update(weight_decay=-1), "optimizer.weight_decay must be at least 0"),
        (lambda recipe: recipe["scheduler"].update(min_lr=-1), "scheduler.min_lr must be at least 0"),
        (lambda recipe: recipe["scheduler"].update(power=-1), "scheduler.power must be at least 0"),
        (lambda recipe: recipe["scheduler"].update(name="step"), "set scheduler.steps="),
        (lambda recipe: recipe["scheduler"].update(steps=[0]), "scheduler.steps must be positive or null"),
        (lambda recipe: recipe["loss"].update(hard_pixels=0), "loss.hard_pixels must be positive"),
        (lambda recipe: recipe["loss"].update(class_weights=[1, 0, 1, 1, 1]), "loss.class_weights must be positive"),
        (lambda recipe: recipe["model"].update(dropout=2), "model.dropout must be in 0..1"),
        (lambda recipe: recipe["model"].update(head_channels=0), "model.head_channels must be at least 1"),
        (lambda recipe: recipe["train"].update(seed=10**26), "train.seed must be in 0"),
    ],
)
def test_invalid_recipe_is_refused_with_its_key(change, message):
    recipe = load_recipe("clutter")
    change(recipe)
    with pytest.raises(UserError, match=message):
        Settings.from_recipe(recipe)


@pytest.mark.parametrize("name", SEGMENTATION)
def test_shipped_recipe_fits_the_settings(name):
    Settings.from_recipe(load_recipe(name))


def write(path, text):
    path.write_text(text)
    return path


def test_recipe_with_a_base_states_only_what_differs(tmp_path):
    path = write(tmp_path / "mine.yaml", "base: clutter\ntrain: {iterations: 900}\ndata: {train_kwargs: {count: 3}}\n")
    recipe, base = load_recipe(path, ["train.seed=4"]), load_recipe("clutter")
    assert (recipe["train"]["iterations"], recipe["train"]["seed"]) == (900, 4)
    assert recipe["data"]["train_kwargs"] == {"count": 3}
    assert recipe["model"] == base["model"] and "base" not in recipe
    Settings.from_recipe(recipe)


def test_base_may_be_a_file_beside_the_recipe_with_a_base_of_its_own(tmp_path):
    write(tmp_path / "one.yaml", "base: clutter\ntrain: {iterations: 9}\n")
    (tmp_path / "deep").mkdir()
    path = write(tmp_path / "deep" / "two.yaml", "base: ../one.yaml\noptimizer: {lr: 0.5}\n")
    recipe = load_recipe(path)
    assert (recipe["train"]["iterations"], recipe["optimizer"]["lr"]) == (9, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: cluter\n", "no recipe 'cluter': did you mean clutter"),
        ("base: mine.yaml\n", "mine.yaml is its own base"),
        ("base: [clutter]\n", "base must be the name of a recipe"),
        ("base: imagenet1k\n", "is for timm's train.py"),
    ],
)
def test_unsuitable_base_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_recipe(write(tmp_path / "mine.yaml", text))


def test_folder_with_a_recipe_is_a_recipe_for_the_data_in_it(tmp_path):
    write(tmp_path / "recipe.yaml", "base: own\n")
    assert load_recipe(tmp_path)["data"]["root"] == str(tmp_path)
    assert load_recipe(tmp_path, ["data.root=elsewhere"])["data"]["root"] == "elsewhere"


def test_name_means_the_recipe_in_the_package_even_beside_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clutter").mkdir()
    write(tmp_path / "clutter" / "recipe.yaml", "base: own\n")
    assert load_recipe("clutter")["data"]["dataset"] == "clutter"
    assert load_recipe("./clutter")["data"]["dataset"] == "folder"


def test_recipe_of_the_package_for_a_folder_needs_the_folder(tmp_path):
    assert load_recipe("own")["data"]["root"] is None


@pytest.mark.parametrize("name", SEGMENTATION)
def test_models_see_images_at_sides_like_those_of_their_crops(name):
    # at others strided convolutions read padding that no crop has
    recipe = load_recipe(name)
    as_published, for_large_frames = "zerowaste_deeplabv3plus", "clutter"
    if name not in (as_published, for_large_frames) and all(side % 32 == 0 for side in recipe["augmentation"]["crop"]):
        assert recipe["evaluation"]["multiple"] % 32 == 0
