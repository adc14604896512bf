"""ONNX files of networks that are not this project's."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fanet.classes import ZEROWASTE
from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.engines.exported import quiet

NAMES = list(ZEROWASTE.names)


class Foreign(nn.Module):
    """A network as any library may have it: scores at half the size, and others beside them."""

    def __init__(self, classes: int = 5, argmax: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.argmax = nn.Conv2d(3, classes, 3, stride=2, padding=1), argmax

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.conv(x)
        return {"out": scores.argmax(1) if self.argmax else scores, "aux": -scores}


def export(net: nn.Module, path: Path, size: int = 64, dynamic: bool = False) -> Path:
    """Export as PyTorch's documentation has it."""
    sides = ({2: torch.export.Dim("height"), 3: torch.export.Dim("width")},) if dynamic else None
    with quiet():
        program = torch.onnx.export(net.eval(), (torch.zeros(1, 3, size, size),), dynamo=True, dynamic_shapes=sides)
        program.save(str(path))
    return path


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Foreign(), tmp_path_factory.mktemp("fixed") / "net.onnx")


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Foreign(), tmp_path_factory.mktemp("dynamic") / "net.onnx", dynamic=True)


def beside(file: Path, description: object, tmp_path: Path) -> Path:
    """Copy a file into a folder of its own, with a description."""
    copy = tmp_path / "net.onnx"
    copy.write_bytes(file.read_bytes())
    copy.with_suffix(".json").write_text(description if isinstance(description, str) else json.dumps(description))
    return copy


def test_a_plain_file_says_what_it_lacks(fixed):
    with pytest.raises(
        UserError, match=r'does not say what its classes are: write net.json beside it, such as {"classes"'
    ):
        load_predictor(fixed)


def test_classes_can_be_named_on_the_way(dynamic):
    image = np.random.default_rng(0).integers(256, size=(50, 70, 3), dtype=np.uint8)
    predictor = load_predictor(dynamic, classes=NAMES)
    assert predictor.classes.names == ZEROWASTE.names
    x = predictor.preprocessing(image)
    with torch.no_grad():
        scores = Foreign().eval()(x)["out"]
        expected = nn.functional.interpolate(scores, size=(50, 70), mode="bilinear").argmax(1)[0]
    assert (predictor.labels(image) == expected.numpy()).mean() > 0.999


def test_a_file_for_one_size_slides_over_larger_images(fixed):
    labels = load_predictor(fixed, classes=NAMES).labels(np.zeros((100, 150, 3), np.uint8))
    assert labels.shape == (100, 150)


def test_the_file_beside_it_describes_classes_and_preprocessing(fixed, tmp_path):
    preprocessing = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    said = {"classes": NAMES[::-1], "palette": [[0, 0, index] for index in range(5)], "preprocessing": preprocessing}
    predictor = load_predictor(beside(fixed, said, tmp_path), classes=["of", "no", "effect", "at", "all"])
    assert predictor.classes.names == ZEROWASTE.names[::-1] and predictor.classes.palette[2] == (0, 0, 2)
    assert predictor.preprocessing.mean == (0, 0, 0)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("{", "not readable as JSON"),
        ([1], "has no object: known are classes"),
        ({"names": NAMES}, "unknown key 'names'"),
        ({"classes": NAMES[:3]}, "has 5 outputs for 3 classes"),
        ({"classes": ["a", "a", "b", "c", "d"]}, "makes no sense .* must differ"),
        ({"classes": 5}, "makes no sense"),
        ({"classes": NAMES, "preprocessing": {"scale": 2}}, "makes no sense"),
        ({"classes": NAMES, "preprocessing": {"std": [0, 1, 1]}}, "makes no sense"),
        ({"classes": NAMES, "palette": [1, 2]}, "makes no sense"),
    ],
)
def test_a_bad_description_is_refused(fixed, tmp_path, description, message):
    with pytest.raises(UserError, match=message):
        load_predictor(beside(fixed, description, tmp_path))


def test_labels_instead_of_scores_are_refused(tmp_path):
    with pytest.raises(UserError, match="export it without argmax"):
        load_predictor(export(Foreign(argmax=True), tmp_path / "net.onnx"), classes=NAMES)


def test_metadata_of_another_form_is_refused(fixed, tmp_path):
    model = onnx.load(str(fixed))
    model.metadata_props.add(key="classes", value="background, metal")
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(UserError, match="metadata of .* is not JSON"):
        load_predictor(tmp_path / "net.onnx")


def test_it_goes_through_clutterbench_beside_the_model_inside(dynamic, tmp_path, capsys):
    command = ["benchmark", "clutter", "--model", str(dynamic), "clutter", "--scenes", "2", "--size", "200", "200"]
    command += ["--axes", "object_count", "-o", str(tmp_path)]
    assert main(command) == 2
    assert "does not say what its classes are" in capsys.readouterr().err
    assert main([*command, "--classes", *NAMES]) == 0
    said = capsys.readouterr().out
    assert "clutter: mIoU, %" in said and f"results in {tmp_path}" in said
    assert {path.name for path in tmp_path.iterdir()} == {"scores.csv", "clutterbench.png", "report.html"}
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 5 and rows[1].startswith(f"{dynamic},object_count,2,")
    assert main([*command, "--classes", "road", "sky"]) == 2
