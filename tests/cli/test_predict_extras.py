"""What `fanet predict` writes beside label maps and overlays, when it is asked to."""

import csv
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.media.images import read_labels
from fanet.segmentation import UperNet, find_objects
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.prediction.tables import plot_shares

from ..media.test_video_damage import FRAMES, clip

SIZE = (64, 80)


@pytest.fixture(scope="module")
def net() -> SegmentationModel:
    """A model by which several classes win somewhere in noise."""
    torch.manual_seed(0)
    net = UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0).eval()
    with torch.no_grad():
        net.decode_head.conv_seg.weight.mul_(100)
        net.decode_head.conv_seg.bias -= net(net.preprocessing(_noise(0))).mean((0, 2, 3))
    return net


@pytest.fixture(autouse=True)
def loaded(net: SegmentationModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading a model is tested elsewhere, and takes a second."""
    monkeypatch.setattr("fanet.segmentation.network.shipped.load_predictor", lambda *args, **keys: net.predictor())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(capsys: pytest.CaptureFixture[str]):
    def run(*argv: str) -> tuple[int, str, str]:
        try:
            status = main(["predict", *argv, "--model", "m", "-o", "out"])
        except SystemExit as stop:
            status = int(stop.code or 0)
        return status, *capsys.readouterr()

    return run


def _noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(*SIZE, 3), dtype=np.uint8)


def _images(*names: str) -> None:
    for seed, name in enumerate(names):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_noise(seed)).save(name)


def _rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_objects_are_in_a_table_for_each_image_and_in_one_for_all(predict, net: SegmentationModel) -> None:
    _images("in/a.png", "in/day/b.png")
    status, out, err = predict("in/**", "--objects", "--min-area", "3")
    assert (status, err) == (0, "")
    assert "of all images: out/objects.csv (objects of 3 pixels or more)" in out
    first, second = _rows("out/a_objects.csv"), _rows("out/day/b_objects.csv")
    assert _rows("out/objects.csv") == first + second
    labels, confidence = net.predictor().labels_and_confidence("in/day/b.png")
    np.testing.assert_array_equal(read_labels("out/day/b_labels.png"), labels)
    expected = find_objects(labels, net.classes, confidence, min_area=3)
    assert len(second) == len(expected) > 5
    for number, (row, entry) in enumerate(zip(second, expected, strict=True), start=1):
        assert (row["image"], row["page"], row["object"]) == ("in/day/b.png", "", str(number))
        assert (row["class"], int(row["area"])) == (entry.name, entry.area)
        assert float(row["share"]) == pytest.approx(entry.area / labels.size, rel=1e-5)
        assert [float(row["centroid_x"]), float(row["centroid_y"])] == pytest.approx(entry.centroid, abs=0.01)
        assert tuple(int(row[key]) for key in ("box_x", "box_y", "box_width", "box_height")) == entry.box
        assert float(row["mean_probability"]) == pytest.approx(entry.probability, abs=1e-4)
        assert row["outline"].startswith("POLYGON ((") and row["outline"].endswith("))")


def test_pages_are_told_apart_in_the_tables(predict) -> None:
    pages = [Image.fromarray(_noise(seed)) for seed in range(2)]
    pages[0].save("scan.tif", save_all=True, append_images=pages[1:])
    assert predict("scan.tif", "--objects", "--min-area", "1")[0] == 0
    assert {row["page"] for row in _rows("out/objects.csv")} == {"1", "2"}
    assert {row["page"] for row in _rows("out/scan_page2_objects.csv")} == {"2"}


def test_probabilities_are_those_of_the_labels(predict, net: SegmentationModel) -> None:
    _images("a.png")
    assert predict("a.png", "--probabilities", "--objects", "--min-area", "1")[0] == 0
    with np.load("out/a_probabilities.npz") as arrays:
        probabilities, names = arrays["probabilities"], arrays["classes"]
    assert probabilities.dtype == np.float32 and probabilities.shape == (5, *SIZE)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities, net.predict_probabilities("a.png"))
    labels = read_labels("out/a_labels.png")
    np.testing.assert_array_equal(labels, net.predict("a.png"))
    np.testing.assert_array_equal(labels, probabilities.argmax(axis=0))
    assert names.tolist() == list(net.classes.names)
    area = sum(int(row["area"]) * float(row["mean_probability"]) for row in _rows("out/objects.csv"))
    assert area == pytest.approx(probabilities.max(axis=0)[labels > 0].sum(), rel=1e-3)


def test_annotations_of_a_failed_image_are_left_out(predict) -> None:
    _images("in/a.png")
    Path("in/bad.png").write_text("no image")
    status, _, err = predict("in", "--annotations", "coco,yolo,labelme")
    assert status == 2 and "1 of 2 files failed" in err
    assert Path("out/yolo/train.txt").read_text() == "./images/train/a.png\n"
    found = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert found == [
        "a_labels.png",
        "a_overlay.png",
        "coco.json",
        "labelme/a.json",
        "yolo/data.yaml",
        "yolo/labels/train/a.txt",
        "yolo/train.txt",
    ]


def test_video_has_objects_and_shares_over_time(predict, net: SegmentationModel) -> None:
    clip(Path("belt.mp4"))
    status, out, _ = predict("belt.mp4", "--objects", "--shares")
    assert status == 0 and "1 video segmented" in out and "of all images" not in out
    shares = _rows("out/belt_shares.csv")
    with av.open("out/belt_labels.mkv") as video:
        maps = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
    assert len(shares) == len(maps) == FRAMES
    for number, (row, labels) in enumerate(zip(shares, maps, strict=True), start=1):
        assert (row["frame"], float(row["seconds"])) == (str(number), pytest.approx((number - 1) / 25, abs=0.002))
        values = [float(row[f"share_{name}"]) for name in net.classes.names]
        assert values == pytest.approx([(labels == index).mean() for index in range(5)], abs=1e-5)
    objects = _rows("out/belt_objects.csv")
    assert {row["video"] for row in objects} == {"belt.mp4"}
    last = [int(row["area"]) for row in objects if row["frame"] == str(FRAMES)]
    assert last == [entry.area for entry in find_objects(maps[-1], net.classes, min_area=64)]
    with Image.open("out/belt_shares.png") as image:
        assert image.format == "PNG" and min(image.size) > 300
    assert "belt_shares.png" in predict("out")[2].split("from an earlier run")[1], "the plot is taken for an image"


def test_shares_of_a_video_that_breaks_off_say_so(predict) -> None:
    clip(Path("belt.mkv"))
    data = Path("belt.mkv").read_bytes()
    Path("belt.mkv").write_bytes(data[: len(data) * 2 // 3])
    status, _, err = predict("belt.mkv", "--shares")
    assert status == 2 and "belt_shares.partial.csv and belt_shares.partial.png" in err
    assert _rows("out/belt_shares.partial.csv") and Path("out/belt_shares.partial.png").exists()


def test_long_tables_of_shares_are_averaged_for_the_plot(tmp_path: Path, net: SegmentationModel) -> None:
    lines = [f"{frame},{frame / 10},0.5,0.5,0,0,0" for frame in range(5001)]
    Path("a.csv").write_text("\n".join(["header", *lines]))
    plot_shares("a.csv", "a.png", net.classes)
    assert Path("a.png").stat().st_size > 1000


BAD = {
    "option without objects": (["a.png", "--min-area", "9"], "--min-area needs --objects or --annotations"),
    "area of zero": (["a.png", "--objects", "--min-area", "0"], "0 is not above 0"),
    "negative tolerance": (["a.png", "--objects", "--tolerance", "-1"], "must be 0 pixels or more, got -1.0"),
    "tolerance that is no number": (["a.png", "--objects", "--tolerance", "nan"], "must be 0 pixels or more, got nan"),
    "unknown format": (["a.png", "--annotations", "coco,voc"], "voc; known are coco, yolo, labelme"),
    "format left empty": (["a.png", "--annotations", ""], "known are coco, yolo, labelme"),
    "shares of images": (["a.png", "--shares"], "leave --shares out"),
    "probabilities of a video": (["belt.mp4", "--probabilities"], "predict belt.mp4 without it"),
    "annotations of a video": (["a.png", "belt.mp4", "--annotations", "yolo"], "predict belt.mp4 without it"),
    "annotations of pages": (["scan.tif", "--annotations", "coco"], "leave --annotations out"),
    "equal stems for YOLO": (["a.png", "a.jpg", "--annotations", "coco,yolo"], "a.png and a.jpg differ in"),
    "no input": (["--objects"], "the following arguments are required: IMAGE"),
    "files and a live source": (["a.png", "--live", "0"], "--live takes no files: leave a.png out"),
    "live annotations": (["--live", "0", "--annotations", "coco"], "leave it out with --live"),
    "live probabilities": (["--live", "0", "--probabilities"], "leave it out with --live"),
    "live source that is missing": (["--live", "none.sock"], "cannot open none.sock (No such file or directory)"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD)
def test_mistake_is_reported_in_one_line_and_leaves_no_files(argv, message, predict) -> None:
    _images("a.png")
    if "a.jpg" in argv:
        _images("a.jpg")
    if "belt.mp4" in argv:
        clip(Path("belt.mp4"))
    if "scan.tif" in argv:
        Image.new("L", (80, 64)).save("scan.tif", save_all=True, append_images=[Image.new("L", (80, 64))])
    status, out, err = predict(*argv)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and message in err
    assert not Path("out").exists()


@pytest.mark.parametrize("package, option", [("cv2", "--objects"), ("matplotlib", "--shares")])
def test_missing_package_is_reported_before_anything_is_predicted(package, option, predict, monkeypatch) -> None:
    clip(Path("belt.mp4"))
    monkeypatch.setitem(sys.modules, package, None)
    status, _, err = predict("belt.mp4", option)
    assert status == 2 and err == f'fanet: error: {package} is not installed: pip install "fanet[seg]"\n'
    assert not Path("out").exists()


def test_earlier_results_of_all_kinds_are_kept(predict) -> None:
    _images("a.png")
    Path("out/yolo/labels/train").mkdir(parents=True)
    for name in ("a_objects.csv", "objects.csv", "coco.json", "yolo/labels/train/a.txt"):
        Path("out", name).write_text("mine")
    status, _, err = predict("a.png", "--objects", "--annotations", "coco,yolo")
    assert status == 2 and "4 results of an earlier run exist (out/a_objects.csv" in err
    assert not Path("out/a_labels.png").exists()
    assert predict("a.png", "--objects", "--annotations", "coco", "--overwrite")[0] == 0
    assert Path("out/yolo/labels/train/a.txt").read_text() == "mine"
    assert "mine" not in Path("out/objects.csv").read_text() + Path("out/coco.json").read_text()
