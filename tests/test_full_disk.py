"""Every command that writes, on a disk that is full at one write or another."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fanet import files
from fanet.cli import main
from fanet.segmentation import UperNet
from fanet.segmentation.data.clutter import LAYOUT, write_clutter

from .segmentation.training.tiny_run import TINY

# in the order in which they fail
FILES = (
    "recipe.yaml",
    "last.pt",
    "log.csv",
    "best/model.safetensors",
    "report.html",
)  # in the order in which they fail


@pytest.fixture
def fill_at(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that makes room, and fills the disk as soon as the n-th file from now on is begun."""
    filler = disk / "filler"
    name = files.secrets.token_hex
    countdown = 0

    def begin(size: int) -> str:
        nonlocal countdown
        countdown -= 1
        if countdown == 0:
            filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        return name(size)

    def prepare(number: int) -> None:
        nonlocal countdown
        filler.unlink(missing_ok=True)
        countdown = number

    monkeypatch.setattr(files.secrets, "token_hex", begin)
    return prepare


def refusal(capsys: pytest.CaptureFixture, disk: Path, command: list[str]) -> str:
    """Run a command that the full disk stops, in one line and without an unfinished file; return the file's name."""
    capsys.readouterr()
    assert main(command) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"fanet: error: cannot write {disk}/"), line
    assert not [path for path in disk.rglob("*") if path.name.startswith(files.UNFINISHED)]
    assert "No space left on device" in line
    return line.split("cannot write ")[1].split(":")[0]


def test_training_resumes_to_the_same_weights(disk, fill_at, tmp_path, capsys):
    whole, run = tmp_path / "whole", disk / "run"
    assert main(["train", "clutter", *TINY, "-o", str(whole)]) == 0
    named = set()
    for number in (1, 3, 5, 5, 7):
        fill_at(number)
        named.add(refusal(capsys, disk, ["train", "clutter", *TINY, "-o", str(run), "--resume"]))
    assert named == {f"{run}/{name}" for name in FILES}
    fill_at(0)
    assert main(["train", "clutter", *TINY, "-o", str(run), "--resume"]) == 0
    for name in ("best", "final"):
        expected, found = (UperNet.from_pretrained(folder / name).state_dict() for folder in (whole, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, and the image of the first one by itself."""
    folder = tmp_path_factory.mktemp("scenes")
    write_clutter(folder, 2, 0, 64, split="test")
    shutil.copy(folder / LAYOUT / "test" / "data" / "scene_000000.PNG", folder / "frame.png")
    return folder


# NumPy 1.26 leaves a ZIP file open that it could not write; Python complains when it collects it.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function ZipFile:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("number", "command", "name"),
    [
        (1, "evaluate --dataset clutter --data SCENES --split test -o DISK/out", "out/confusion_matrix.png"),
        (2, "evaluate --dataset clutter --data SCENES --split test -o DISK/out", "out/metrics.json"),
        (3, "evaluate --dataset clutter --data SCENES --split test -o DISK/out", "out/per_image.npz"),
        (4, "evaluate --dataset clutter --data SCENES --split test -o DISK/out", "out/report.html"),
        (1, "predict --overwrite SCENES/frame.png -o DISK/out", "out/frame_labels.png"),
        (2, "predict --overwrite SCENES/frame.png -o DISK/out", "out/frame_overlay.png"),
        (1, "demo -o DISK/out", "out/demo.png"),
        (1, "data check SCENES --dataset clutter --json DISK/report.json", "report.json"),
        (2, "convert SCENES/model DISK/out", "out/model.safetensors"),
        (3, "convert SCENES/model DISK/out", "out/config.json"),
    ],
)
def test_result_is_written_whole_or_not_at_all(disk, fill_at, scenes, capsys, number, command, name):
    if "model" in command and not (scenes / "model").exists():
        UperNet("test_fanet", 3, head_channels=8, aux_channels=0).save_pretrained(scenes / "model")
    words = command.replace("SCENES", str(scenes)).replace("DISK", str(disk)).split()
    fill_at(number)
    assert refusal(capsys, disk, words) == f"{disk}/{name}"
    assert not (disk / name).exists()
    fill_at(0)
    assert main(words) == 0
    assert (disk / name).stat().st_size


def test_scenes_appear_as_a_whole_split_or_not_at_all(disk, fill_at, capsys):
    command = ["data", "clutter", str(disk / "scenes"), *"--count 2 --seed 0 --size 64 64".split()]
    for number in (1, 4):
        fill_at(number)
        refusal(capsys, disk, command)
        assert not list((disk / "scenes").rglob("*.PNG"))
    fill_at(0)
    assert main(command) == 0
