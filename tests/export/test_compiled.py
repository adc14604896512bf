"""Packages of PyTorch's compiler prove themselves as ONNX files do."""

import zipfile

import numpy as np
import pytest
import timm
import torch

from fanet.cli import main
from fanet.errors import UserError
from fanet.export import check_digest, check_file, compiled, export_onnx, export_pt2
from fanet.export.digest import seal
from fanet.scenes import scene
from fanet.segmentation.network.shipped import load_model, load_predictor


def test_digest_is_the_comment_of_an_archive_that_stays_one(tmp_path):
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "x" * 1000)
    digest = seal(path)
    assert check_digest(path) == digest
    with zipfile.ZipFile(path) as archive:
        assert archive.read("data") == b"x" * 1000 and archive.comment == f'"{digest}"'.encode()
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"xyxx", 1))
    with pytest.raises(UserError, match="is missing or wrong"):
        check_digest(path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out.pt2", "--dynamic"], "takes images of one size"),
        (["out.pt2", "--size", "64", "64", "--precision", "fp16"], "in fp32"),
        (["out.pt2", "--size", "64", "64", "--end-to-end"], "leave --dynamic, --precision and --end-to-end out"),
    ],
)
def test_bad_argument_is_refused_in_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "clutter", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_size_suffix_and_network_are_checked_before_the_compiler_starts(small_model, tmp_path):
    with pytest.raises(UserError, match="the sides must be 32 to 32768 pixels"):
        export_pt2(small_model, tmp_path / "net.pt2", (16, 64))
    with pytest.raises(UserError, match=r"must end with \.pt2"):
        export_pt2(small_model, tmp_path / "net.onnx", (64, 64))
    with pytest.raises(UserError, match="without logits has nothing to prove"):
        export_pt2(torch.nn.Conv2d(3, 4, 3), tmp_path / "net.pt2", (64, 64))


def test_file_that_is_no_package_is_refused(tmp_path):
    path = tmp_path / "net.pt2"
    with pytest.raises(UserError, match="there is no file"):
        load_predictor(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is not a package that can be run"):
        load_predictor(path)
    with pytest.raises(UserError, match="leave --engine and --precision out"):
        load_predictor(path, engine="openvino")
    with pytest.raises(UserError, match="is a compiled package"):
        load_model(path)


def test_package_that_computes_something_else_gets_no_name(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "compile_network", lambda net, path, shape, metadata: None)
    monkeypatch.setattr(compiled, "engine_of", lambda path: None)
    monkeypatch.setattr(
        compiled, "run_of", lambda engine: lambda pixels: (np.zeros(pixels.shape[:2]), np.zeros((5, 1, 1)))
    )
    with pytest.raises(UserError, match="its proof fails here"):
        export_pt2(small_model, tmp_path / "net.pt2", (64, 96))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_package_gives_the_labels_of_the_network_and_proves_it(small_model, tmp_path, capsys):
    path, net = tmp_path / "net.pt2", tmp_path / "net"
    small_model.save_pretrained(net)
    assert main(["export", str(net), str(path), "--size", "64", "96"]) == 0
    assert main(["export", str(path), "--check"]) == 0
    assert "the proof holds here" in capsys.readouterr().out
    predictor = load_predictor(path)
    for size in ((64, 96), (100, 200)):
        image = scene(seed=1, index=0, size=size)[0]
        assert (predictor.labels(image) == small_model.predict(image, (64, 96))).mean() > 0.999
    assert predictor.labels(scene(seed=1, index=0, size=(40, 33))[0]).shape == (40, 33)  # with a margin in view
    with pytest.raises(UserError, match="takes one image of 64x96 pixels"):
        predictor.engine.engine(torch.zeros(1, 3, 64, 64))
    path.write_bytes(path.read_bytes().replace(b"cardboard", b"card_bord"))
    with pytest.raises(UserError, match="is missing or wrong"):
        check_file(path)


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, (64, 64)])
def test_classifier_proves_itself(size, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model("test_fanet", num_classes=7, in_chans=4).eval()
    export_onnx(net, tmp_path / "net.onnx", size)
    assert check_file(tmp_path / "net.onnx")[1] < 0.5
