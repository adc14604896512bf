import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fanet
from fanet import cli
from fanet.cli import main
from fanet.media.images import read_image, read_labels
from fanet.segmentation import UperNet

COMMANDS = (["demo"], ["predict"], ["train"], ["data"], ["data", "clutter"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=16).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return _write_image(tmp_path / "belt.png", (70, 45))


def _write_image(path: Path, size: tuple[int, int] = (40, 32)) -> Path:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """Return the one line on standard error of a command that must end with status 2 and print nothing else."""
    try:
        status = main(argv)
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1 and captured.err.endswith("\n"), captured.err
    assert captured.err.startswith("fanet") and ": error: " in captured.err
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert "example" in text and f"\n  fanet {' '.join(command)}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_examples_in_the_help_parse() -> None:
    parser = cli.build_parser()
    subparsers = next(action for action in parser._actions if isinstance(action.choices, dict))
    for command in subparsers.choices.values():
        lines = [line.split() for line in command.epilog.splitlines() if line.startswith("  fanet")]
        assert lines
        for _, *argv in lines:
            parser.parse_args(argv)


def test_help_and_version_load_no_optional_package() -> None:
    script = (
        "import sys; from fanet.cli import build_parser; build_parser().format_help(); "
        "optional = ('cv2', 'accelerate', 'matplotlib', 'onnx'); "
        "print([name for name in optional if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_module_runs_like_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "fanet", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fanet {fanet.__version__}\n"


@pytest.mark.parametrize("argv", [["--version", "--verbose"], ["--verbose", "--version"]])
def test_version_can_say_all_that_a_report_of_a_bug_needs(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and lines[0] == f"fanet {fanet.__version__}"
    assert f"torch {importlib.metadata.version('torch')}" in lines
    assert any(line.startswith("opencv-python-headless") for line in lines)
    assert any(line.startswith("GPU: ") for line in lines) and not any("pytest" in line for line in lines)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["--verbose"], "required: COMMAND"),
        (["bogus"], "invalid choice: 'bogus'"),
        (["predict"], "required: IMAGE, -o/--output"),
        (["predict", "x.png", "-o", "out", "--modle", "m"], "unrecognized arguments: --modle"),
        (["train"], "required: RECIPE"),
        (["data", "clutter", "d", "--count", "0", "--seed", "0", "--size", "64", "64"], "0 is not above 0"),
        (["data", "clutter", "d", "--count", "1", "--seed", "-1", "--size", "64", "64"], "-1 is below 0"),
        (["data", "clutter", "d", "--count", "1", "--seed", "x", "--size", "64", "64"], "'x' is not a whole number"),
        (["data", "clutter", "d", "--count", "1", "--seed", "0", "--size", "64"], "--size: expected 2 arguments"),
        (
            ["data", "clutter", "d", "--count", "1", "--seed", "0", "--size", "64", "64", "--difficulty", "2"],
            "2 is not between 0 and 1",
        ),
    ],
)
def test_mistyped_command_is_reported_in_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in _refused(capsys, argv)
    assert not list(tmp_path.iterdir())


def test_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fanet.demo.run_demo", interrupt)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "fanet: interrupted\n"


def test_full_disk_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fill(*args: object) -> None:
        raise OSError(28, "No space left on device", "demo.png")

    monkeypatch.setattr("fanet.demo.run_demo", fill)
    assert "demo.png: No space left on device" in _refused(capsys, ["demo"])


def test_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("fanet.demo.run_demo", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["demo"])


def test_predict_writes_labels_and_overlay(image: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = image.parent / "out" / "below"
    assert main(["predict", str(image), "--model", model, "-o", str(output)]) == 0
    assert sorted(path.name for path in output.iterdir()) == ["belt_labels.png", "belt_overlay.png"]
    labels = read_labels(output / "belt_labels.png")
    assert labels.shape == (45, 70) and labels.max() < 5
    with Image.open(output / "belt_labels.png") as written:
        assert written.mode == "P"
        np.testing.assert_array_equal(np.array(written), labels)
    height, width, _ = read_image(output / "belt_overlay.png").shape
    assert height > 45 and width == 70, "with a legend below"
    captured = capsys.readouterr()
    assert "1 image segmented" in captured.out and captured.err == ""


def test_predict_takes_folders_patterns_and_odd_names_once(tmp_path: Path, model: str) -> None:
    for name in ("a.png", "b.JPG", "c.tif", "[d].webp", ".hidden.png"):
        _write_image(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    inputs = [str(tmp_path / "photos" / "[d].webp"), str(tmp_path / "photos" / "*.JPG"), str(tmp_path / "photos")]
    assert main(["predict", *inputs, "--model", model, "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"{stem}_{kind}.png" for stem in ("[d]", "a", "b", "c") for kind in ("labels", "overlay")]


def _cut_off(path: Path) -> None:
    data = _write_image(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no file"),
        (lambda path: path.touch(), "is empty"),
        (_cut_off, "is truncated or damaged"),
        (lambda path: path.write_text("no image"), "is not an image"),
        (lambda path: path.mkdir(), "has no images"),
    ],
    ids=["missing", "empty", "cut off", "no image", "empty folder"],
)
def test_bad_input_is_reported_and_nothing_is_written(
    make, message: str, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "bad.png")
    line = _refused(capsys, ["predict", str(tmp_path / "bad.png"), "--model", model, "-o", str(tmp_path / "out")])
    assert message in line and "bad.png" in line
    assert not (tmp_path / "out").exists()


def test_pattern_that_matches_nothing_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no file matches" in _refused(capsys, ["predict", str(tmp_path / "*.jpg"), "-o", str(tmp_path / "out")])


def test_bad_image_does_not_stop_the_others(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = [_write_image(tmp_path / "in" / name) for name in ("a.png", "z.png")]
    (tmp_path / "in" / "m.png").write_text("no image")
    line = _refused(capsys, ["predict", str(tmp_path / "in"), "--model", model, "-o", str(tmp_path / "out")])
    assert "1 of 3 files failed" in line and "m.png" in line
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{path.stem}_{kind}.png" for path in good for kind in ("labels", "overlay")
    }


def test_results_of_one_name_are_refused_and_nothing_is_written(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = _write_image(tmp_path / "a" / "belt.png"), _write_image(tmp_path / "b" / "belt.jpg")
    line = _refused(capsys, ["predict", str(one), str(other), "--model", model, "-o", str(tmp_path / "out")])
    assert str(one) in line and str(other) in line
    assert not (tmp_path / "out").exists()


def test_result_never_overwrites_an_input(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    _write_image(tmp_path / "belt.png")
    argv = ["predict", str(tmp_path), "--model", model, "-o", str(tmp_path)]
    assert main(argv) == 0
    capsys.readouterr()
    assert "2 results of an earlier run exist" in _refused(capsys, argv)
    results = [str(tmp_path / "belt_labels.png"), "-o", str(tmp_path)]
    Image.new("RGB", (8, 8)).save(tmp_path / "belt_labels_labels.png")
    argv = ["predict", str(tmp_path / "belt_labels_labels.png"), *results, "--model", model, "--overwrite"]
    assert "would overwrite an input" in _refused(capsys, argv)


def test_output_that_is_a_file_is_refused(image: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    (image.parent / "out").touch()
    line = _refused(capsys, ["predict", str(image), "--model", model, "-o", str(image.parent / "out")])
    assert "a file of that name is in the way" in line


def _broken(model: str, folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_bytes((Path(model) / "config.json").read_bytes())
    return folder


def test_unusable_model_is_reported_and_nothing_is_written(
    image: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (Path(model) / "model.safetensors").read_bytes()
    cut, text, missing = (_broken(model, image.parent / name) for name in ("cut", "text", "missing"))
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    (text / "model.safetensors").write_text("no tensors")
    for name in ("no-such-model", str(cut), str(text), str(missing)):
        line = _refused(capsys, ["predict", str(image), "--model", name, "-o", str(image.parent / "out")])
        assert name in line
        assert not (image.parent / "out").exists()


def test_data_clutter_writes_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["data", "clutter", str(tmp_path), "--count", "2", "--seed", "3", "--size", "64", "96", "--split", "val"]
    assert main(argv) == 0
    assert "2 scenes of 64x96 pixels" in capsys.readouterr().out
    labels = sorted(tmp_path.glob("splits_final_deblurred/val/sem_seg/*.PNG"))
    assert len(labels) == 2 and read_labels(labels[0]).shape == (64, 96)
    assert "exists" in _refused(capsys, argv)


@pytest.mark.parametrize("order", ["before", "after", "around"])
def test_settings_can_be_given_anywhere(order: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = {}

    def record(recipe: dict, output: Path, resume: bool) -> dict:
        seen.update(recipe=recipe, output=output, resume=resume)
        return {"iteration": 0, "seconds": 0.0, "miou": 0.0, "best_miou": 0.0}

    monkeypatch.setattr("fanet.segmentation.training.train.train", record)
    first, second, output = ["train.seed=7"], ["train.batch_size=3"], ["-o", str(tmp_path / "run"), "--resume"]
    argv = {
        "before": ["clutter", *first, *second, *output],
        "after": ["clutter", *output, *first, *second],
        "around": ["clutter", *first, *output, *second],
    }[order]
    assert main(["train", *argv]) == 0
    assert (seen["recipe"]["train"]["seed"], seen["recipe"]["train"]["batch_size"]) == (7, 3)
    assert seen["output"] == tmp_path / "run" and seen["resume"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no_such_recipe"], "there is no recipe 'no_such_recipe'"),
        (["missing.yaml"], "cannot read the recipe missing.yaml"),
        (["clutter", "train.iteration=1"], "did you mean"),
        (["clutter", "nonsense"], "write KEY=VALUE"),
    ],
)
def test_invalid_recipe_is_reported_and_nothing_is_written(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _refused(capsys, ["train", *argv, "-o", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_demo_draws_and_scores_the_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    panel = read_image(tmp_path / "demo" / "demo.png")
    assert 1200 < panel.shape[1] <= 1700
    printed = capsys.readouterr().out
    for word in ("background", "soft_plastic", "mIoU", "pixel accuracy", str(tmp_path / "demo" / "demo.png")):
        assert word in printed
