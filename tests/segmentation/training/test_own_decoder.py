"""A decoder in a file of one's own, from the command line to a model and back."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.media.images import read_labels
from fanet.segmentation import BatchPredictor, SegmentationModel
from fanet.segmentation.network.decoders import base
from fanet.segmentation.training.train import train

from .tiny_run import TINY, assert_same_weights, state, tiny_recipe

SLIM = """
from torch import nn

from fanet.segmentation import Decoder, register_decoder


@register_decoder
class Slim(Decoder):
    def __init__(self, channels, reductions, width=256, depth=1):
        super().__init__(width)
        self.convs = nn.Sequential(*(nn.Conv2d(channels[-1] if i == 0 else width, width, 1) for i in range(depth)))

    def embed(self, features):
        return self.convs(features[-1])
"""
OPTIONS = ("model.decoder=slim", "model.decoder_kwargs.depth=2", "train.iterations=20", "evaluation.every=20")


@pytest.fixture(autouse=True)
def no_import(monkeypatch):
    """As in a new process: only the package's own decoders are known."""
    known = {name: base._decoders[name] for name in ("deeplabv3plus", "linear", "upernet")}
    monkeypatch.setattr(base, "_decoders", known)


@pytest.fixture(scope="module")
def slim(tmp_path_factory):
    path = tmp_path_factory.mktemp("code") / "slim.py"
    path.write_text(SLIM)
    return str(path)


@pytest.fixture(scope="module")
def run(slim, tmp_path_factory):
    """The folder of a run by the command line."""
    folder = tmp_path_factory.mktemp("runs") / "slim"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_decoders", dict(base._decoders))
        assert main(["train", "--import", slim, "clutter", *TINY, *OPTIONS, "-o", str(folder)]) == 0
    return folder


@pytest.fixture
def imported():
    """What an import in Python does."""
    exec(SLIM, {"__name__": "slim"})


@pytest.fixture
def image(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(45, 37, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def refusal(argv, capsys):
    """What a command that is refused says: one line."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    return captured.err


def test_a_run_trains_and_leaves_its_decoder_in_the_configuration(run):
    config = json.loads((run / "best" / "config.json").read_text())
    assert config["decoder"] == "slim" and config["decoder_kwargs"] == {"depth": 2} and config["head_channels"] == 8
    before, after = state(run)["ema"], state(run)["model"]
    assert after["decode_head.convs.1.weight"].shape == (8, 8, 1, 1)
    assert not torch.equal(before["decode_head.convs.1.weight"], after["decode_head.convs.1.weight"])
    assert state(run)["progress"]["iteration"] == 20


def test_the_model_loads_after_an_import_in_python(run, imported, image):
    net = SegmentationModel.from_pretrained(run / "best")
    assert type(net.decode_head).__name__ == "Slim" and len(net.decode_head.convs) == 2
    pixels = np.array(Image.open(image))
    labels = BatchPredictor(run / "best")({"image": pixels[None]})["labels"][0]
    np.testing.assert_array_equal(net.predict(image), labels)


def test_the_command_line_predicts_and_evaluates_with_the_import(slim, run, image, tmp_path):
    argv = ["predict", str(image), "--model", str(run / "best"), "--import", slim, "-o", str(tmp_path / "labels")]
    assert main(argv) == 0
    labels = read_labels(tmp_path / "labels" / "image_labels.png")
    np.testing.assert_array_equal(labels, SegmentationModel.from_pretrained(run / "best").predict(image))
    scenes = ["--dataset", "clutter", "--count", "2", "--size", "40", "40", "--bootstrap", "0"]
    argv = ["evaluate", "--import", slim, "--model", str(run / "final"), *scenes, "-o", str(tmp_path / "scores")]
    assert main(argv) == 0
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text())["images"] == 2


def test_a_run_can_be_resumed_with_the_import(slim, run):
    before = state(run)
    assert main(["train", "--import", slim, "clutter", *TINY, *OPTIONS, "-o", str(run), "--resume"]) == 0
    assert_same_weights(state(run), before)


def test_every_command_says_in_one_line_that_the_import_is_missing(run, image, tmp_path, capsys):
    model, output = ["--model", str(run / "best")], ["-o", str(tmp_path / "out")]
    for argv in (
        ["train", "clutter", *TINY, *OPTIONS, *output],
        ["predict", str(image), *model, *output],
        ["evaluate", "--dataset", "clutter", "--count", "2", *model, *output],
        ["convert", str(run / "best"), str(tmp_path / "out")],
    ):
        assert "there is no decoder 'slim': import the module that registers it" in refusal(argv, capsys)
        assert not (tmp_path / "out").exists()


def test_a_missing_file_is_one_line(tmp_path, capsys):
    argv = ["train", "--import", str(tmp_path / "slim.py"), "clutter", *OPTIONS, "-o", str(tmp_path / "out")]
    assert "slim.py to import" in refusal(argv, capsys)


def test_wrong_decoder_kwargs_of_a_recipe_are_one_line_and_leave_no_folder(slim, tmp_path, capsys):
    options = ["model.decoder=slim", "model.decoder_kwargs.depht=2"]
    argv = ["train", "--import", slim, "clutter", *TINY, *options, "-o", str(tmp_path / "out")]
    assert "decoder_kwargs do not fit slim: " in refusal(argv, capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["os", "subprocess", "./slim.py"])
def test_a_recipe_cannot_name_what_is_to_be_imported(name, tmp_path):
    (tmp_path / "slim.py").write_text(SLIM)
    with pytest.raises(UserError, match="there is no decoder"):
        train(tiny_recipe(f"model.decoder={name}"), tmp_path / "out")
