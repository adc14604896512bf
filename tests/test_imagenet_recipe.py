import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import timm
import yaml
from PIL import Image

from fanet.backbone.complexity import count_macs, variants
from fanet.errors import UserError
from fanet.recipes import available, is_for_timm, load_recipe, recipe_path

RECIPES = [name for name in available() if is_for_timm(recipe_path(name))]
IMAGENET_1K = [name for name in RECIPES if name.startswith("imagenet1k")]
RECORD = json.loads((Path(__file__).parent / "data" / "timm_train_arguments.json").read_text())["arguments"]
GLOBAL_BATCH = 1280
IMAGES, EPOCHS = 1_281_167, 300

needs_scripts = pytest.mark.skipif(
    "TIMM_SCRIPTS" not in os.environ,
    reason="set TIMM_SCRIPTS to a folder with train.py from timm's repository; the package does not contain it",
)


def _settings(name: str) -> dict:
    return yaml.safe_load(recipe_path(name).read_text(encoding="utf-8"))  # as train.py reads it


def _fits(value: object, argument: dict) -> bool:
    """Return whether a value of a YAML file has the type that the command line gives it."""
    if argument["action"] in ("_StoreTrueAction", "_StoreFalseAction"):
        return isinstance(value, bool)
    if argument["nargs"] in ("+", "*") or isinstance(argument["nargs"], int):
        single = argument | {"nargs": None}
        return isinstance(value, list) and all(_fits(item, single) for item in value)
    kinds = {"int": (int,), "float": (float,), "str": (str,), None: (str,)}[argument["type"]]
    return type(value) in kinds and (not argument["choices"] or value in argument["choices"])


def test_published_training_has_a_recipe():
    assert "imagenet1k" in RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_train_py_knows_every_key_and_type(name):
    # train.py silently ignores unknown keys in --config
    for key, value in _settings(name).items():
        assert key in RECORD, key
        assert _fits(value, RECORD[key]), (key, value)


@pytest.mark.parametrize("name", RECIPES)
def test_every_key_has_an_effect(name):
    settings = _settings(name)
    assert not {"color_jitter", "aa"} <= settings.keys()  # no effect with auto-augmentation
    assert not {"lr_base", "lr_base_size", "lr_base_scale"} & settings.keys()  # no effect with lr
    assert "momentum" not in settings  # for other optimisers only
    assert settings["warmup_epochs"] < settings["epochs"]


@pytest.mark.parametrize("name", IMAGENET_1K)
def test_model_exists_and_takes_the_arguments(name):
    settings = _settings(name)
    assert "fanet" in settings["device_modules"]
    model = timm.create_model(
        settings["model"], drop_path_rate=settings["drop_path"], num_classes=settings["num_classes"], device="meta"
    )
    assert model.pretrained_cfg["input_size"][-1] == settings["img_size"]


def test_published_settings_are_those_of_the_paper():
    settings = _settings("imagenet1k")
    paper = dict(model="fanet_base", epochs=300, opt="adamw", lr=1e-3, weight_decay=0.05, batch_size=80, img_size=224)
    followed = dict(aa="rand-m9-mstd0.5-inc1", mixup=0.8, cutmix=1.0, reprob=0.25, smoothing=0.1, drop_path=0.1)
    assert {key: settings[key] for key in paper | followed} == paper | followed
    assert settings["sched"] == "cosine" and 5 <= settings["warmup_epochs"] <= 20
    cfg = timm.get_pretrained_cfg("fanet_base")
    assert (settings["crop_pct"], settings["interpolation"]) == (cfg.crop_pct, cfg.interpolation)


@pytest.mark.parametrize("name", [name for name in IMAGENET_1K if name != "imagenet1k"])
def test_other_sizes_differ_only_where_they_say_so(name):
    text, settings, published = recipe_path(name).read_text(encoding="utf-8"), _settings(name), _settings("imagenet1k")
    different = {key for key in settings | published if settings.get(key) != published.get(key)}
    said = set(re.findall(r"^(\w+):.*# differs", text, flags=re.MULTILINE))
    assert different == said | {"model"}
    assert "Untested" in text.splitlines()[0]


def _commands(name: str) -> list[str]:
    header = "\n".join(
        line.lstrip("# ") for line in recipe_path(name).read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    )
    return re.findall(r"^(?:torchrun|fanet run).*?train\.py.*?[^\\]$", header, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", IMAGENET_1K)
def test_every_command_of_the_header_has_the_same_global_batch(name):
    settings, commands = _settings(name), _commands(name)
    assert len(commands) >= 2

    def number(command: str, option: str, default: int) -> int:
        found = re.search(rf"{option}[= ](\d+)", command)
        return int(found[1]) if found else default

    for command in commands:
        assert f"fanet recipes {name})" in command
        gpus = number(command, "--nnodes", 1) * number(command, "--nproc_per_node", 1)
        batch = number(command, "--batch-size", settings["batch_size"])
        assert gpus * batch * number(command, "--grad-accum-steps", settings["grad_accum_steps"]) == GLOBAL_BATCH
        for option in re.findall(r" (--[\w-]+)", command.partition("train.py")[2]):
            assert any(option in argument["options"] for argument in RECORD.values()), option


def test_cost_in_the_header_follows_from_the_counted_operations():
    header = recipe_path("imagenet1k").read_text(encoding="utf-8")
    (base,) = (variant for variant in variants((224,)) if variant.name == "fanet_base")
    flops = base.macs[0] * 2 * 3 * IMAGES * EPOCHS
    assert f"{base.macs[0] / 1e9:.2f} GMACs" in header and f"{flops:.2e} FLOPs".replace("e+", "e") in header
    for utilisation, hours in ((0.10, "119 GPU-hours"), (0.30, "40 at 30 %")):
        assert f"{flops / (312e12 * utilisation) / 3600:.0f}" in hours and hours in header
    assert f"{flops / 31.2e12 / 3600 / 16:.1f} hours on 16 GPUs" in header


@pytest.mark.parametrize(("name", "model"), [("imagenet1k_small", "fanet_nano"), ("imagenet1k_large", "fanet_large")])
def test_cost_of_other_sizes_follows_from_the_counted_operations(name, model):
    macs = count_macs(timm.create_model(model, device="meta").eval(), (224, 224))
    hours = macs * 2 * 3 * IMAGES * EPOCHS / 31.2e12 / 3600
    assert re.search(rf"\b{hours:.0f}\s+(# )?GPU-hours", recipe_path(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_for_train_py_is_refused_in_one_line_by_fanet_train(name):
    with pytest.raises(UserError, match="is for timm's train.py") as caught:
        load_recipe(name)
    assert "\n" not in str(caught.value)


def test_randaugment_of_the_recipe_posterises_to_zero_bits():
    # in a new process, because the module changes timm
    code = (
        "import fanet.posterize\n"
        "from PIL import Image\n"
        "from timm.data.auto_augment import AugmentOp, posterize\n"
        "image = Image.effect_noise((8, 8), 50).convert('RGB')\n"
        "for level in range(11):\n"
        "    op = AugmentOp('PosterizeIncreasing', prob=1, magnitude=level)\n"
        "    kept = 4 - int(level / 10 * 4)\n"
        "    expected = posterize(image, kept) if kept else Image.new('RGB', (8, 8))\n"
        "    assert op(image).tobytes() == expected.tobytes(), level\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _image_folder(root: Path) -> Path:
    for split, name, i in product(("train", "validation"), ("a", "b"), range(4)):
        folder = root / split / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 32), (60 * i, 200 if name == "a" else 20, 90)).save(folder / f"{i}.png")
    return root


@needs_scripts
def test_recipes_fit_the_train_py_at_hand():
    from_scripts = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "record_timm_arguments.py"), _script("train.py"), "any"],
        check=True,
        capture_output=True,
        text=True,
    )
    current = json.loads(from_scripts.stdout)["arguments"]
    for name in RECIPES:
        for key, value in _settings(name).items():
            assert key in current and _fits(value, current[key]), (name, key)


@needs_scripts
@pytest.mark.parametrize("name", RECIPES)
def test_stock_train_py_trains_with_the_recipe(name, tmp_path):
    data = _image_folder(tmp_path / "data")
    reduced = "--model test_fanet --num-classes 2 --img-size 32 -b 4 --epochs 1 --warmup-epochs 0 -j 0 --device cpu"
    arguments = ["-c", str(recipe_path(name)), "--data-dir", str(data), "--output", str(tmp_path), *reduced.split()]
    run = subprocess.run([sys.executable, _script("train.py"), *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.glob("*/model_best.pth.tar"))


@needs_scripts
def test_stock_train_py_trains_and_resumes_on_two_processes(tmp_path):
    data = _image_folder(tmp_path / "data")
    reduced = "--model test_fanet --num-classes 2 --img-size 32 -b 2 --warmup-epochs 0 -j 0 --device cpu"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "fanet", "run"),
        *(
            _script("train.py"),
            "-c",
            str(recipe_path("imagenet1k")),
            "--data-dir",
            str(data),
            "--output",
            str(tmp_path),
        ),
        *("--experiment", "run", "--device-modules", "fanet", "fanet.posterize", "cpu_ddp", *reduced.split()),
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    last = str(tmp_path / "run" / "last.pth.tar")
    for more in (["--epochs", "1"], ["--epochs", "2", "--resume", last]):
        run = subprocess.run([*command, *more], env=environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == [
        "checkpoint-0.pth.tar",
        "checkpoint-1.pth.tar",
    ]


def _script(name: str) -> str:
    return str(Path(os.environ["TIMM_SCRIPTS"]) / name)
