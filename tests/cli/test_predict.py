import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.media.images import read_image, read_labels
from fanet.segmentation import SegmentationModel, UperNet
from fanet.segmentation.prediction.predictor import Predictor


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0).eval()


@pytest.fixture(scope="module")
def model(net: UperNet, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    net.save_pretrained(folder)
    return str(folder)


def _write_image(path: Path, size: tuple[int, int] = (80, 64)) -> None:
    Image.fromarray(np.random.default_rng(0).integers(256, size=(*size[::-1], 3), dtype=np.uint8)).save(path)


def _clip(path: Path, frames: int = 5, codec: str = "libx264") -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for index in range(frames):
            pixels = np.random.default_rng(index).integers(256, size=(64, 80, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _maps(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def test_window_of_the_command_line_reaches_the_predictor(net, model, tmp_path):
    _write_image(tmp_path / "a.png")
    argv = ["predict", str(tmp_path / "a.png"), "--model", model, "--window", "32", "48", "--overlap", "0.5"]
    assert main([*argv, "-o", str(tmp_path / "out")]) == 0
    expected = net.predict(tmp_path / "a.png", window=(32, 48), overlap=0.5)
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "a_labels.png"), expected)


def test_model_is_moved_to_the_device(model, tmp_path, monkeypatch):
    _write_image(tmp_path / "a.png")
    moved = []
    to = SegmentationModel.to
    monkeypatch.setattr(SegmentationModel, "to", lambda net, device: moved.append(device) or to(net, "cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    argv = ["predict", str(tmp_path / "a.png"), "--model", model, "-o", str(tmp_path / "out")]
    assert main(argv) == 0 and main([*argv, "--device", "cpu", "--overwrite"]) == 0
    assert moved == [torch.device("cuda"), torch.device("cpu")]


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_folder_of_images_and_videos_is_predicted(engine, net, model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    _write_image(tmp_path / "in" / "a.png")
    _clip(tmp_path / "in" / "belt.mp4")
    words = ["--model", model, "--engine", engine, "-o", str(tmp_path / "out")]
    assert main(["predict", str(tmp_path / "in"), *words]) == 0
    assert "1 image and 1 video segmented" in capsys.readouterr().out
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a_labels.png", "a_overlay.png", "belt_labels.mkv", "belt_overlay.mp4"]
    with av.open(str(tmp_path / "in" / "belt.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for frame, labels in zip(frames, _maps(tmp_path / "out" / "belt_labels.mkv"), strict=True):
        assert (labels == net.predict(frame)).mean() >= (1 if engine == "eager" else 0.999)
    assert len(_maps(tmp_path / "out" / "belt_overlay.mp4")) == len(frames)


def test_legend_is_below_the_overlay_unless_it_is_left_out(model, tmp_path):
    _write_image(tmp_path / "a.png")
    _clip(tmp_path / "belt.mp4")
    argv = ["predict", str(tmp_path / "a.png"), str(tmp_path / "belt.mp4"), "--model", model, "-o"]
    assert main([*argv, str(tmp_path / "with")]) == 0 and main([*argv, str(tmp_path / "without"), "--no-legend"]) == 0
    legend, plain = (read_image(tmp_path / folder / "a_overlay.png") for folder in ("with", "without"))
    assert plain.shape == (64, 80, 3) and legend.shape[0] > 64
    np.testing.assert_array_equal(legend[:64], plain)
    for folder, is_higher in (("with", True), ("without", False)):
        with av.open(str(tmp_path / folder / "belt_overlay.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.width == 80 and (stream.height > 64) == is_higher and stream.height % 2 == 0
    one, other = (_maps(tmp_path / folder / "belt_labels.mkv") for folder in ("with", "without"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["a.png", "belt.mp4"])
def test_interrupt_leaves_no_partial_file(name, model, tmp_path, monkeypatch, capsys):
    _clip(tmp_path / "belt.mp4")
    _write_image(tmp_path / "a.png")
    predict, calls = Predictor.labels, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == (3 if name == "belt.mp4" else 1):
            raise KeyboardInterrupt
        return predict(*args)

    monkeypatch.setattr(Predictor, "labels", interrupted)
    assert main(["predict", str(tmp_path / name), "--model", model, "-o", str(tmp_path / "out")]) == 130
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))


def test_failure_to_write_is_reported(model, tmp_path, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    _write_image(tmp_path / "a.png")
    monkeypatch.setattr("fanet.media.images.png_chunks", full)
    assert main(["predict", str(tmp_path / "a.png"), "--model", model, "-o", str(tmp_path / "out")]) == 2
    assert "No space left" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_bad_video_does_not_stop_the_others(model, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_text("no video")
    _clip(tmp_path / "in" / "good.mp4")
    assert main(["predict", str(tmp_path / "in"), "--model", model, "-o", str(tmp_path / "out")]) == 2
    assert "1 of 2 files failed" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_missing_pyav_is_reported_with_its_extra(model, tmp_path, monkeypatch, capsys):
    _clip(tmp_path / "a.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["predict", str(tmp_path / "a.mp4"), "--model", model, "-o", str(tmp_path / "out")]) == 2
    assert 'pip install "fanet[video]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _cut_off_video(folder: Path) -> None:
    _clip(folder / "whole.mp4")
    data = (folder / "whole.mp4").read_bytes()
    (folder / "whole.mp4").unlink()
    (folder / "bad.mp4").write_bytes(data[: len(data) // 2])


def _one_name(folder: Path) -> None:
    (folder / "in").mkdir()
    _clip(folder / "in" / "belt.mp4")
    _clip(folder / "belt.avi", codec="mpeg4")


BAD = {
    "window too small": (["a.png", "--window", "16", "64"], None, "at least 32"),
    "window of zero": (["a.png", "--window", "0", "64"], None, "0 is not above 0"),
    "window that is no number": (["a.png", "--window", "x", "64"], None, "'x' is not a whole number"),
    "window of one side": (["a.png", "--window", "64"], None, "argument --window: "),
    "overlap too large": (["a.png", "--window", "64", "64", "--overlap", "0.95"], None, "0 to 0.9"),
    "overlap in percent": (["a.png", "--window", "64", "64", "--overlap", "25"], None, "a share from 0 to 0.9"),
    "overlap without window": (["a.png", "--overlap", "0.5"], None, "give --window H W too"),
    "device that does not exist": (["a.png", "--device", "cuda:99"], None, "this machine has cpu"),
    "missing video": (["none.mp4"], None, "there is no file"),
    "empty video": (["bad.mp4"], lambda folder: (folder / "bad.mp4").touch(), "is empty"),
    "text as video": (["bad.mkv"], lambda folder: (folder / "bad.mkv").write_text("text"), "truncated, damaged or not"),
    "cut off video": (["bad.mp4"], _cut_off_video, "truncated, damaged or not a video"),
    "videos of one name": (["in/belt.mp4", "belt.avi"], _one_name, "would both become"),
    "folder of other files": (["texts"], lambda folder: (folder / "texts").mkdir(), "has no images or videos"),
}


@pytest.mark.parametrize(("argv", "make", "message"), BAD.values(), ids=BAD)
def test_mistake_is_reported_in_one_line_and_leaves_no_files(argv, make, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _write_image(tmp_path / "a.png")
    if make is not None:
        make(tmp_path)
    try:
        status = main(["predict", *argv, "--model", model, "-o", "out"])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    assert captured.err.count("\n") == 1 and message in captured.err
    assert not (tmp_path / "out").exists()


def test_at_most_one_image_is_read_ahead(net, model, tmp_path, monkeypatch):
    for name in "abc":
        _write_image(tmp_path / f"{name}.png")
    predicted: list[int] = []
    read: list[str] = []
    predict = Predictor.labels
    from fanet.segmentation.prediction import predict_files as module

    monkeypatch.setattr(
        module, "read_channels", lambda path, *args, **options: read.append(path.name) or read_image(path)
    )

    def watched(*args):
        predicted.append(len(read))
        return predict(*args)

    monkeypatch.setattr(Predictor, "labels", watched)
    module.predict_files(net.predictor(), [tmp_path], tmp_path / "out")
    assert read == ["a.png", "b.png", "c.png"] and len(predicted) == 3
    assert all(count <= index + 2 for index, count in enumerate(predicted)), "images pile up in memory"
