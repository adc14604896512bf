"""ONNX files compute what the network does, at any size, and are taken as models."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from fanet.cli import main
from fanet.errors import UserError
from fanet.export import export_onnx
from fanet.media.images import read_labels, write_png
from fanet.scenes import scene
from fanet.segmentation import Preprocessing, SegmentationModel, UperNet
from fanet.segmentation.data.clutter import write_clutter
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.engines import exported
from fanet.segmentation.prediction.engines.exported import compare_onnx
from fanet.segmentation.prediction.engines.reduced import TOLERANCE_FP16, quantize, to_float16

ROOT = Path(__file__).parents[1]
# None of them is a size that the export itself is checked at.
OTHER_SIZES = ((96, 96), (130, 70), (45, 333), (512, 160), (37, 51), (200, 200), (301, 64), (64, 64))


@pytest.fixture
def net(small_model: UperNet) -> UperNet:
    return small_model


@pytest.fixture
def file(small_onnx: Path) -> Path:
    return small_onnx


def tiny() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def deviation(net: nn.Module, path: Path, size: tuple[int, int]) -> float:
    """The largest deviation from PyTorch of a plain session on the file, over all outputs."""
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    found = onnxruntime.InferenceSession(path).run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = net(image)
    expected = expected if isinstance(expected, list) else [expected]
    assert [tuple(array.shape) for array in expected] == [array.shape for array in found]
    pairs = zip(expected, found, strict=True)
    return max(float(np.abs(a.numpy() - b).max() / np.abs(a.numpy()).max()) for a, b in pairs)


@pytest.mark.parametrize("size", OTHER_SIZES)
def test_file_for_any_size_computes_what_the_network_does(net, file, size):
    assert deviation(net, file, size) < 1e-4


def test_file_says_what_its_outputs_mean_and_how_to_prepare_images(net, file):
    said = onnxruntime.InferenceSession(file).get_modelmeta().custom_metadata_map
    assert json.loads(said["classes"]) == list(net.classes.names)
    assert json.loads(said["palette"]) == [list(colour) for colour in net.classes.palette]
    assert json.loads(said["ignore_index"]) == 255
    assert Preprocessing.from_dict(json.loads(said["preprocessing"])) == net.preprocessing


def test_predictions_and_scores_are_those_of_the_network(net, file, tmp_path, capsys):
    image = np.random.default_rng(0).integers(256, size=(50, 75, 3), dtype=np.uint8)
    predictor = load_predictor(file)
    for window in (None, (32, 48)):
        expected = net.predict(image, window)
        assert (load_predictor(file, window=window).labels(image) == expected).mean() > 0.999
    np.testing.assert_allclose(predictor.probabilities(image), net.predict_probabilities(image), atol=1e-5)

    write_png(tmp_path / "image.png", image)
    assert main(["predict", str(tmp_path / "image.png"), "--model", str(file), "-o", str(tmp_path / "out")]) == 0
    assert (read_labels(tmp_path / "out" / "image_labels.png") == net.predict(image)).mean() > 0.999


def test_file_for_one_size_pads_smaller_images_and_slides_over_larger_ones(net, tmp_path):
    path = tmp_path / "fixed.onnx"
    export_onnx(net, path, (64, 96))
    predictor = load_predictor(path)
    rng = np.random.default_rng(0)
    for height, width in ((64, 96), (100, 200)):
        image = rng.integers(256, size=(height, width, 3), dtype=np.uint8)
        assert (predictor.labels(image) == net.predict(image, (64, 96))).mean() > 0.999
    assert predictor.labels(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).shape == (32, 32)
    with pytest.raises(UserError, match="64x96 pixels: leave --window out"):
        load_predictor(path, window=(32, 32))


def test_file_that_computes_something_else_gets_no_name(tmp_path, monkeypatch):
    run = exported.OnnxEngine.outputs
    monkeypatch.setattr(exported.OnnxEngine, "outputs", lambda self, x: [value + 1e-2 for value in run(self, x)])
    with pytest.raises(UserError, match="deviates by .*: nothing was written"):
        export_onnx(tiny(), tmp_path / "net.onnx", (64, 64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("net.onnx", b"no protobuf", "is not an ONNX model"),
        ("net.onnx", b"", "is not an ONNX model"),
        ("none.onnx", None, "there is no file"),
    ],
)
def test_bad_file_is_refused_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_predictor(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_other_suffix_or_device_is_refused(net, file, tmp_path):
    with pytest.raises(UserError, match=r"must end with \.onnx"):
        export_onnx(net, tmp_path / "net.pb")
    with pytest.raises(UserError, match="runs on the CPU"):
        load_predictor(file, "cuda")


def test_training_mode_survives_an_export(tmp_path):
    net = tiny().train()
    export_onnx(net, tmp_path / "net.onnx", (32, 32))
    assert all(module.training for module in net.modules())
    with pytest.raises(UserError, match="does not say what its classes are"):
        load_predictor(tmp_path / "net.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "decoder"),
    [
        ("fanet_base", "upernet"),
        ("fanet_base", "deeplabv3plus"),
        ("fanet_base", "features"),
        ("fanet_pico", "classifier"),
        ("fanet_pico", "linear"),
        ("test_convnext", "upernet"),
        ("test_resnet", "deeplabv3plus"),
    ],
)
def test_every_decoder_backbone_and_classifier_is_exported_for_any_size(backbone, decoder, tmp_path):
    torch.manual_seed(0)
    net: nn.Module
    if decoder in ("classifier", "features"):
        net = timm.create_model(backbone, features_only=decoder == "features")
    else:
        net = SegmentationModel(backbone, 5, decoder)
    assert export_onnx(net.eval(), tmp_path / "net.onnx") < 1e-4
    for size in OTHER_SIZES:
        assert deviation(net, tmp_path / "net.onnx", size) < 1e-4


def test_evaluation_takes_the_file(net, file, tmp_path):
    write_clutter(tmp_path / "scenes", 2, 0, 64, split="test")
    net.save_pretrained(tmp_path / "net")
    scores = []
    for model in (file, tmp_path / "net"):
        words = ["--dataset", "clutter", "--data", str(tmp_path / "scenes"), "--split", "test", "--model", str(model)]
        assert main(["evaluate", *words, "-o", str(tmp_path / "out")]) == 0
        scores.append(json.loads((tmp_path / "out" / "metrics.json").read_text())["miou"])
    assert scores[0] == pytest.approx(scores[1], abs=0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["timm:nonsense", "out.onnx"], "timm has no model 'nonsense'"),
        (["clutter", "out.onnx", "--size", "16", "64"], "the sides must be 32 to 32768 pixels, got 16x64"),
        (["clutter", "out.onnx", "--size", "400000", "400000"], "the sides must be 32 to 32768 pixels"),
        (["in.onnx", "out.onnx"], "in.onnx is an ONNX file"),
    ],
)
def test_bad_argument_is_refused_in_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_file_whose_classes_are_not_its_outputs_is_refused(file, tmp_path):
    model = onnx.load(str(file))
    said = {entry.key: entry for entry in model.metadata_props}
    for key in ("classes", "palette"):
        said[key].value = json.dumps(json.loads(said[key].value)[:2])
    onnx.save(model, str(tmp_path / "a.onnx"))
    with pytest.raises(UserError, match="outputs for 2 classes"):
        load_predictor(tmp_path / "a.onnx")


def test_example_in_the_docs_gives_the_labels_of_predict(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = UperNet("test_fanet", 5, head_channels=8, aux_channels=0, preprocessing=Preprocessing()).eval()
    export_onnx(net, "my_model.onnx")
    Image.fromarray(np.random.default_rng(0).integers(256, size=(45, 70, 3), dtype=np.uint8)).save("belt.jpg")
    text = (ROOT / "docs" / "prediction.md").read_text(encoding="utf-8")
    section = text[text.index("## ONNX") :]
    found: dict = {}
    exec(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1], found)
    assert (found["labels"] == net.predict("belt.jpg")).mean() > 0.999
    assert found["metadata"]["classes"] == list(net.classes.names)


def agreement(net: UperNet, path: Path, engine: str = "onnx", window: tuple[int, int] | None = None) -> float:
    image = scene(seed=3, index=0, size=(96, 128))[0]
    return float((load_predictor(path, engine=engine).labels(image) == net.predict(image, window)).mean())


def test_file_in_float16_is_half_as_large_and_takes_and_gives_float32(net, file, tmp_path):
    path = tmp_path / "half.onnx"
    shutil.copyfile(file, path)
    to_float16(path)
    assert path.stat().st_size < 0.75 * file.stat().st_size
    session = onnxruntime.InferenceSession(path)
    assert {entry.type for entry in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    assert session.get_modelmeta().custom_metadata_map == metadata(file)
    assert compare_onnx(net, path, OTHER_SIZES[:3], TOLERANCE_FP16) > 0


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_quantised_file_has_8_bit_convolutions_and_nearly_the_same_labels(net, file, tmp_path, engine):
    path = tmp_path / "small.onnx"
    shutil.copyfile(file, path)
    quantize(path, (net.preprocessing(scene(seed=2, index=i, size=(64, 64))[0]) for i in range(4)))
    operations = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert operations.count("DequantizeLinear") >= 2 * operations.count("Conv")
    assert metadata(path) == metadata(file)
    assert agreement(net, path, engine) > 0.9


def metadata(path: Path) -> dict[str, str]:
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def test_quantising_without_images_is_refused_and_leaves_the_file(file, tmp_path):
    path = tmp_path / "small.onnx"
    shutil.copyfile(file, path)
    with pytest.raises(UserError, match="int8 needs images"):
        quantize(path, [])
    assert path.read_bytes() == file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("size", [[], ["--size", "64", "96"]])
def test_command_writes_fewer_bits_and_says_what_they_cost(net, precision, size, tmp_path, capsys):
    net.save_pretrained(tmp_path / "net")
    write_clutter(tmp_path / "scenes", 6, 0, (64, 96), split="val")
    words = ["--dataset", "clutter", "--data", str(tmp_path / "scenes"), "--images", "2"]
    out = tmp_path / "out.onnx"
    assert main(["export", str(tmp_path / "net"), str(out), "--precision", precision, *size, *words]) == 0
    said = capsys.readouterr().out
    assert ("calibrated with 2 images; on 4 others the mIoU is" if precision == "int8" else "ONNX Runtime") in said
    assert agreement(net, out, window=(64, 96) if size else None) > 0.9


def test_fewer_bits_are_refused_where_they_make_no_sense(net, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "timm:test_fanet", "out.onnx", "--precision", "int8"]) == 2
    assert "int8 is for segmentation models" in capsys.readouterr().err
    write_clutter(tmp_path / "scenes", 1, 0, 64, split="val")
    assert main(["export", "clutter", "out.onnx", "--precision", "int8", "--data", "scenes"]) == 2
    assert "int8 needs two images, to calibrate and to score; the split val has 1" in capsys.readouterr().err
    with pytest.raises(UserError, match="unknown precision 'int4': choose one of fp32, fp16, int8"):
        export_onnx(net, "out.onnx", precision="int4")
    assert not Path("out.onnx").exists()
