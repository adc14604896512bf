"""The program of the docs: label maps of an ONNX file without PyTorch, whatever the file prepares itself."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.export import check_file, export_onnx, labels_of
from fanet.media.images import read_labels
from fanet.scenes import scene
from fanet.segmentation import Preprocessing, UperNet
from fanet.segmentation.bilinear import resize, resize_uint8
from fanet.segmentation.network.shipped import load_predictor

from .conftest import DOCS, RUN_ONNX, Exporter

PREPROCESSINGS = {
    "as it is": Preprocessing(),
    "rounded up": Preprocessing(multiple=32),
    "fitted": Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.1), (160, 96), 32),
}
WITHOUT_TORCH = (
    "import sys, runpy; sys.modules['torch'] = None; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
)


def picture(path: Path, size: tuple[int, int]) -> Path:
    Image.fromarray(scene(seed=5, index=size[0], size=size)[0]).save(path)
    return path


def program(folder: Path, *words: str | Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(RUN_ONNX), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def predicted(net: UperNet, preprocessing: Preprocessing, image: Path) -> np.ndarray:
    before, net.preprocessing = net.preprocessing, preprocessing
    try:
        return net.predict(image)
    finally:
        net.preprocessing = before


@pytest.mark.parametrize(
    ("kind", "end_to_end"), [("as it is", True), ("rounded up", True), ("fitted", True), ("fitted", False)]
)
def test_labels_are_those_of_the_network_at_any_size(kind, end_to_end, small_model, export_again, run_onnx, tmp_path):
    preprocessing = PREPROCESSINGS[kind]
    path = export_again(tmp_path / "net.onnx", preprocessing, end_to_end=end_to_end)
    assert check_file(path)[1] < 0.5
    session, metadata = run_onnx.load(path)
    for size in ((131, 203), (70, 45)):
        image = picture(tmp_path / "image.png", size)
        expected = predicted(small_model, preprocessing, image)
        assert (run_onnx.predict(session, metadata["preprocessing"], image)[0] == expected).mean() > 0.999
        assert (labels_of(path)(np.asarray(Image.open(image))) == expected).mean() > 0.999


def test_program_writes_labels_without_pytorch(small_model, small_onnx, tmp_path):
    image = picture(tmp_path / "belt.png", (75, 110))
    done = program(tmp_path, small_onnx, image)
    assert done.returncode == 0, done.stderr
    assert f"holds on onnxruntime {onnxruntime.__version__}" in done.stdout
    assert (read_labels(tmp_path / "belt_labels.png") == small_model.predict(image)).mean() > 0.999
    assert Image.open(tmp_path / "belt_labels.png").getpalette()[3:6] == list(small_model.classes.palette[1])


def test_program_refuses_in_one_line_and_writes_nothing(small_onnx, tmp_path):
    image = picture(tmp_path / "belt.png", (75, 110))
    (tmp_path / "net.onnx").write_bytes(small_onnx.read_bytes().replace(b"cardboard", b"card_bord"))
    for model, reason in (
        ("net.onnx", "net.onnx is refused: its digest is missing or wrong"),
        ("none.onnx", "none.onnx is refused"),
    ):
        done = program(tmp_path, model, image)
        assert done.returncode == 1 and not done.stdout
        assert done.stderr.startswith(reason) and done.stderr.count("\n") == 1
    assert "belt.gif cannot be segmented" in program(tmp_path, small_onnx, "belt.gif").stderr
    assert not list(tmp_path.glob("*_labels.png"))


@pytest.mark.parametrize("mode", ["I;16", "I", "F", "RGBA", "LA", "P"])
def test_images_that_pillow_would_change_are_refused(mode, run_onnx, tmp_path):
    """Conversion to RGB cuts values above 255 off, and shows what is transparent."""
    image = Image.new(mode, (8, 8))
    image.save(
        tmp_path / "a.tif" if mode in "IF" else tmp_path / "a.png", **({"transparency": 0} if mode == "P" else {})
    )
    with pytest.raises(ValueError, match="^save it with 8 bits a channel and without transparency$"):
        run_onnx.read(next(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("old", "new"), [((37, 50), (64, 96)), ((181, 97), (64, 33)), ((5, 7), (5, 30)), ((9, 9), (1, 1))]
)
def test_resizing_is_that_of_the_package(old, new, run_onnx):
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(3, *old), dtype=np.uint8)
    np.testing.assert_array_equal(run_onnx.resize(image, new), resize_uint8(torch.from_numpy(image), new).numpy())
    logits = rng.normal(size=(5, *old)).astype(np.float32)
    expected = resize(torch.from_numpy(logits)[None], new)[0].numpy()
    np.testing.assert_allclose(run_onnx.resize(logits, new), expected, atol=1e-4)  # places of pixels are rounded


def test_end_to_end_file_takes_uint8_and_gives_uint8(small_model, export_again: Exporter, tmp_path, monkeypatch):
    path = export_again(tmp_path / "my_model.onnx", small_model.preprocessing, end_to_end=True)
    session = onnxruntime.InferenceSession(path)
    assert [(each.name, each.type) for each in session.get_inputs()] == [("pixels", "tensor(uint8)")]
    assert [each.name for each in session.get_outputs()] == ["labels", "scores"]
    labels, scores = session.run(None, {"pixels": np.zeros((2, 40, 50, 3), np.uint8)})
    assert labels.dtype == np.uint8 and labels.shape == (2, 40, 50) and scores.shape == (2, 5, 40, 50)
    with pytest.raises(UserError, match="gives labels by itself: run it with docs/examples/run_onnx.py"):
        load_predictor(path)

    monkeypatch.chdir(tmp_path)
    image = picture(tmp_path / "belt.jpg", (75, 110))
    found: dict = {}
    exec(re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1], found)
    assert (found["labels"][0] == small_model.predict(image)).mean() > 0.999


def test_only_segmentation_models_have_label_maps_to_give(tmp_path):
    with pytest.raises(UserError, match="only segmentation models have label maps: leave --end-to-end out"):
        export_onnx(timm.create_model("test_fanet"), tmp_path / "out.onnx", end_to_end=True)


def test_command_checks_a_file(small_onnx, tmp_path, capsys):
    assert main(["export", str(small_onnx), "--check"]) == 0
    assert "the proof holds here, logits deviate by" in capsys.readouterr().out
    path = tmp_path / "net.onnx"
    path.write_bytes(small_onnx.read_bytes()[:-1])
    assert main(["export", str(path), "--check"]) == 2
    assert "net.onnx is missing or wrong" in capsys.readouterr().err
    assert main(["export", str(small_onnx), "out.onnx", "--check"]) == 2
    assert main(["export", "clutter"]) == 2
    assert "name the file to write" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_end_to_end_files_have_fewer_bits(precision, small_model, tmp_path):
    images = [small_model.preprocessing(scene(seed=2, index=i, size=(64, 96))[0]) for i in range(2)]
    path = tmp_path / "net.onnx"
    export_onnx(small_model, path, None, precision, images, end_to_end=True)
    assert check_file(path)[1] <= 1
