"""The published files are checked by one command; here against a stand-in for the Hub with small networks."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import fanet.verification
from fanet.cli import main
from fanet.errors import UserError
from fanet.verification import Expected, Figure, verify_published

from .hub_stand_in import Fault, Hub

MICRO = Expected("test_fanet", 10, 5, 32, 32, top1=50.0, miou=10.0, pixel_accuracy=20.0)
CLASSIFIER, SEGMENTATION = "model_best.pth.tar", "iter_40000.pth"


def verify(folder: Path, cache: Path, **arguments: object) -> fanet.verification.Verification:
    return verify_published(folder, "me/authors", cache_dir=cache, **{"expected": MICRO, **arguments})  # type: ignore[arg-type]


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Ten classes of three images."""
    rng = np.random.default_rng(0)
    for label in range(10):
        folder = tmp_path / "imagenet" / "val" / f"n{label:08}"
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "imagenet"


def test_files_are_listed_with_digests_and_recognised(repos: Hub, cache: Path, tmp_path: Path) -> None:
    found = verify(tmp_path / "report", cache)
    assert found.problems == ()
    assert {file.name: file.kind for file in found.files} == {
        "README.md": None,
        CLASSIFIER: "classifier",
        SEGMENTATION: "segmentation model",
    }
    file = next(file for file in found.files if file.name == CLASSIFIER)
    data = (repos.root / "me" / "authors" / CLASSIFIER).read_bytes()
    assert file.size == len(data)
    assert file.digest == hashlib.sha256(data).hexdigest()
    report = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert file.digest in report
    assert "Everything is as expected." in report
    assert json.loads((tmp_path / "report" / "report.json").read_text())["commit"] == found.commit


def test_other_networks_are_reported_one_by_one(repos: Hub, cache: Path, tmp_path: Path) -> None:
    authors = repos.root / "me" / "authors"
    torch.save({"state_dict": timm.create_model("test_fanet", num_classes=7).state_dict()}, authors / "other.pth")
    (authors / "broken.pth").write_bytes(b"no checkpoint")
    found = verify(tmp_path / "report", cache, expected=Expected("test_fanet", 10, 4, 32, 32))
    assert len(found.problems) == 4
    text = "\n".join(found.problems)
    assert "broken.pth: broken.pth is broken or no checkpoint" in text
    assert "other.pth: it was made for 7 classes" in text
    assert f"{SEGMENTATION}: num_classes is 5, not 4" in text
    assert "there is no segmentation model as expected" in text


def test_corrupt_download_is_a_problem_of_that_file(repos: Hub, cache: Path, tmp_path: Path) -> None:
    repos.faults.append(Fault(r"iter_40000\.pth$", corrupt=True))
    found = verify(tmp_path / "report", cache)
    assert [problem.split(":")[0] for problem in found.problems] == [
        SEGMENTATION,
        "there is no segmentation model as expected",
    ]
    assert "checksum differs" in found.problems[0]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than a machine of one core has
def test_top1_is_that_of_the_network_on_timms_crops(repos: Hub, cache: Path, tmp_path: Path, imagenet: Path) -> None:
    found = verify(tmp_path / "report", cache, imagenet=imagenet)
    model = timm.create_model(
        "test_fanet",
        pretrained=True,
        num_classes=10,
        pretrained_cfg_overlay=dict(file=str(repos.root / "me" / "authors" / CLASSIFIER), num_classes=10),
    ).eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
    with torch.inference_mode():
        hits = [
            int(model(transform(Image.open(path).convert("RGB"))[None]).argmax()) == int(path.parent.name[1:])
            for path in sorted((imagenet / "val").rglob("*.png"))
        ]
    (figure,) = found.figures
    assert figure.measured == pytest.approx(100 * sum(hits) / 30)
    assert (figure.images, figure.published) == (30, 50.0)
    assert found.problems == (f"top-1 of {CLASSIFIER} is {figure.measured:.2f} %, not 50.0 %",)


def test_zerowaste_is_scored_as_by_evaluate(repos: Hub, cache: Path, tmp_path: Path) -> None:
    scenes = tmp_path / "scenes"
    assert (
        main(["data", "clutter", str(scenes), "--count", "1", "--seed", "0", "--split", "test", "--size", "64", "64"])
        == 0
    )
    found = verify(tmp_path / "report", cache, zerowaste=scenes)
    scores = json.loads((tmp_path / "report" / "zerowaste" / "metrics.json").read_text())
    assert [(figure.name, figure.measured) for figure in found.figures] == [
        ("mIoU", scores["miou"]),
        ("pixel accuracy", scores["pixel_accuracy"]),
    ]


@pytest.mark.parametrize(("measured", "holds"), [(54.80, True), (54.98, True), (54.78, False), (55.0, False)])
def test_figure_holds_within_a_tenth_of_a_point(measured: float, holds: bool) -> None:
    assert Figure("mIoU", "a.pth", 54.89, measured, 929).holds is holds


@pytest.mark.parametrize("damage", ["missing", "empty", "fewer classes"])
def test_data_that_is_not_imagenet_is_refused(
    repos: Hub, cache: Path, tmp_path: Path, imagenet: Path, damage: str
) -> None:
    if damage == "missing":
        imagenet = tmp_path / "nowhere"
    elif damage == "empty":
        shutil.rmtree(imagenet / "val")
    else:
        shutil.rmtree(imagenet / "val" / "n00000000")
    with pytest.raises(UserError, match="give ImageNet"):
        verify(tmp_path / "report", cache, imagenet=imagenet)


def test_command_prints_what_differs_and_fails(
    repos: Hub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert main(["verify-published", "--repo", "me/authors", "-o", str(tmp_path / "report")]) == 1
    printed = capsys.readouterr().out
    assert f"not as expected: {CLASSIFIER}: " in printed  # a micro network is not fanet_base
    assert "python 3." in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    monkeypatch.setattr(fanet.verification, "Expected", lambda: MICRO)
    assert main(["verify-published", "--repo", "me/authors", "-o", str(tmp_path / "report")]) == 0
    assert "everything is as expected" in capsys.readouterr().out


def test_without_a_connection_one_line_says_so(
    repos: Hub, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repos.stop()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert main(["verify-published", "-o", str(tmp_path / "report")]) == 2
    assert "cannot load the published weights from the Hub repository" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "report").exists()
