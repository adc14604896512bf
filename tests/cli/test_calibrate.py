import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.errors import InputWarning, UserError
from fanet.export.description import describe, encoded
from fanet.media.images import read_image, read_labels
from fanet.segmentation import SegmentationModel, load_model
from fanet.segmentation.network.shipped import load_predictor
from fanet.segmentation.prediction.engines.onnx import read_thresholds

COUNT = 48
YAML = "classes: [class_0, class_1]\nmask_kind: index\nsplits: {val: {images: images, masks: masks}}\n"


@pytest.fixture(scope="module")
def net() -> SegmentationModel:
    torch.manual_seed(1)
    net = SegmentationModel("test_fanet", 2, decoder="linear", head_channels=8).eval()
    with torch.no_grad():
        net.decode_head.conv_seg.weight.mul_(150)  # random networks are sure of nothing: half of the pixels below 0.52
    return net


@pytest.fixture(scope="module")
def photos(net: SegmentationModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose truth is what the model predicts, but the other class in its less certain half."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir()
    for index in range(COUNT):
        image = np.asarray(
            Image.fromarray(rng.integers(60, 180, (5, 5, 3), dtype=np.uint8)).resize((40, 32), Image.Resampling.BICUBIC)
        )
        labels, probability = net.predictor().labels_and_confidence(image)
        truth = np.where(probability >= 0.75, labels, 1 - labels)
        Image.fromarray(image).save(root / "images" / f"{index:02d}.png")
        Image.fromarray(truth).save(root / "masks" / f"{index:02d}.png")
    (root / "dataset.yaml").write_text(YAML)
    return root


@pytest.fixture(scope="module")
def calibrated(net: SegmentationModel, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "m"
    net.save_pretrained(folder)
    assert main(_argv(folder, photos)) == 0
    return folder


def _argv(model: Path | str, photos: Path, *more: str, purity: str | None = "0.6") -> list[str]:
    data = ["--dataset", "folder", "--data", str(photos), "--split", "val"]
    return ["calibrate", str(model), *data, *([] if purity is None else ["--purity", purity]), *more]


@pytest.mark.filterwarnings("ignore:.*more class:fanet.errors.InputWarning")  # more than in the images of the pilot
def test_what_is_called_a_class_is_it(calibrated: Path, photos: Path) -> None:
    stored = json.loads((calibrated / "config.json").read_text())["thresholds"]
    assert (stored["purity"], stored["confidence"]) == (0.6, 0.95)
    assert stored["origin"] == {"dataset": "folder", "split": "val", "images": COUNT, "units": COUNT, "unit": "image"}
    net = load_model(calibrated)
    right = called = 0
    for path in sorted((photos / "images").iterdir()):
        labels, truth = net.predict(read_image(path)), read_labels(photos / "masks" / path.name)
        called += np.count_nonzero(labels != 255)
        right += np.count_nonzero(labels == truth)
    assert called and right >= 0.6 * called


def test_what_falls_below_a_threshold_is_ignored_and_nothing_else(calibrated: Path, photos: Path) -> None:
    net = load_model(calibrated)
    image = read_image(photos / "images" / "00.png")
    least = [np.inf if value is None else value for value in net.thresholds.least]
    plain, probability = net.predictor(thresholds=False).labels_and_confidence(image)
    expected = np.where(probability >= np.array(least, np.float32)[plain], plain, 255)
    assert (expected == 255).any() and (expected != 255).any()
    np.testing.assert_array_equal(net.predict(image), expected)
    np.testing.assert_array_equal(net.predictor().labels_and_probabilities(image)[0], expected)
    np.testing.assert_array_equal(net.predict(image, thresholds=False), plain)


def test_fanet_predict_applies_thresholds_and_leaves_them_out(
    calibrated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = photos / "images" / "00.png"
    expected = load_model(calibrated).predict(image)
    with_, without = tmp_path / "with", tmp_path / "without"
    extras = ["--probabilities", "--objects", "--annotations", "coco"]
    assert main(["predict", str(image), "--model", str(calibrated), *extras, "-o", str(with_)]) == 0
    assert main(["predict", str(image), "--model", str(calibrated), "--no-thresholds", "-o", str(without)]) == 0
    np.testing.assert_array_equal(read_labels(with_ / "00_labels.png"), expected)
    assert not (read_labels(without / "00_labels.png") == 255).any()
    assert Image.open(with_ / "00_labels.png").getpalette()[3 * 255 :] == [150, 150, 150]
    drawn = read_image(with_ / "00_overlay.png")
    grey = np.abs(drawn[:32].astype(int) - (read_image(image).astype(int) + 150) / 2).max(axis=2) <= 1
    assert grey[expected == 255].mean() > 0.3 and len(drawn) > 32, "grey but for outlines, and a legend"
    assert "undecided" not in (with_ / "00_objects.csv").read_text() + (with_ / "coco.json").read_text()
    assert capsys.readouterr().err == ""


def test_images_unlike_the_calibrations_are_counted_in_one_line(
    calibrated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = tmp_path / "night"
    night.mkdir()
    for path in sorted((photos / "images").iterdir())[:4]:
        Image.fromarray(read_image(path) // 8).save(night / path.name)
    assert main(["predict", str(night), "--model", str(calibrated), "-o", str(tmp_path / "out")]) == 0
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "darker" in errors and "(and 3 more like it)" in errors
    assert main(["predict", str(photos / "images"), "--model", str(calibrated), "-o", str(tmp_path / "day")]) == 0
    own = capsys.readouterr().err
    assert not any(word in own for word in ("darker", "brighter", "contrast", "blurred", "detail", "certain")), own


def test_other_scales_than_the_calibrations_warn(calibrated: Path, photos: Path) -> None:
    net, image = load_model(calibrated), photos / "images" / "00.png"
    with pytest.warns(InputWarning, match="scales and flip"):
        net.predict(image, flip=True)
    with pytest.warns(InputWarning, match="another window"):
        net.predict(image, window=(32, 32))


def test_check_prints_purity_and_writes_nothing(
    calibrated: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (calibrated / "config.json").read_bytes()
    assert main(_argv(calibrated, photos, "--check", purity=None)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["class", "threshold", "purity", "above", "it"] and len(lines) == 3
    assert (calibrated / "config.json").read_bytes() == before


def test_scores_are_those_without_thresholds(calibrated: Path, photos: Path, tmp_path: Path) -> None:
    argv = ["evaluate", "--dataset", "folder", "--data", str(photos), "--split", "val", "--model", str(calibrated)]
    assert main([*argv, "-o", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sum(map(sum, result["confusion_matrix"])) == COUNT * 32 * 40
    assert any("thresholds are left out" in note for note in result["notes"])


def test_the_description_of_an_export_holds_the_thresholds(calibrated: Path) -> None:
    net = load_model(calibrated)
    file = SimpleNamespace(metadata=encoded(describe(net)))
    assert read_thresholds(file, "m.onnx", net.classes) == net.thresholds
    net.thresholds = None
    assert read_thresholds(SimpleNamespace(metadata=encoded(describe(net))), "m.onnx", net.classes) is None
    file.metadata["thresholds"] = "{}"
    with pytest.raises(UserError, match="make no sense"):
        read_thresholds(file, "m.onnx", net.classes)


@pytest.mark.parametrize("damage", [{"least": [math.nan, 0.5]}, {"largest": [0.5, math.inf]}, {"purity": 1.5}])
def test_numbers_that_are_no_thresholds_are_refused(calibrated: Path, tmp_path: Path, damage: dict) -> None:
    folder = tmp_path / "m"
    shutil.copytree(calibrated, folder)
    config = json.loads((folder / "config.json").read_text())
    config["thresholds"] |= damage
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json: does not describe a model \(.* among the thresholds"):
        load_model(folder)


@pytest.mark.slow
def test_an_exported_file_carries_the_thresholds(calibrated: Path, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    assert main(["export", str(calibrated), str(file)]) == 0
    assert main(["export", str(file), "--check"]) == 0
    net, image = load_model(calibrated), read_image(photos / "images" / "00.png")
    predictor = load_predictor(file)
    assert predictor.thresholds == net.thresholds
    assert np.mean(predictor.labels(image) == net.predict(image)) > 0.99
    assert not (load_predictor(file, thresholds=False).labels(image) == 255).any()


def test_a_copy_keeps_the_weights_and_the_model_inside_the_package_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "copy"
    argv = ["calibrate", "clutter", "--dataset", "clutter", "--count", "60", "--size", "32", "32", "--purity", "0.3"]
    assert main([*argv, "-o", str(out)]) == 0
    capsys.readouterr()
    assert load_model(out).thresholds.least[0] is not None, "of the background, which 60 scenes show"
    assert load_model("clutter").thresholds is None
    assert _refused(capsys, [*argv, "-o", str(out)]).count("not an empty folder") == 1
    assert "give -o DIR" in _refused(capsys, argv)


def test_recordings_are_drawn_instead_of_images(
    net: SegmentationModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "groups.csv"
    rows = "".join(f"{index:02d},{index % 12}\n" for index in range(COUNT + 2))  # two are of other images
    table.write_text(f"name,group\n{rows}", encoding="utf-8-sig")  # as Excel's "CSV UTF-8"
    net.save_pretrained(tmp_path / "m")
    assert main(_argv(tmp_path / "m", photos, "--groups", str(table), purity="0.3")) == 0
    stored = json.loads((tmp_path / "m" / "config.json").read_text())["thresholds"]
    assert (stored["origin"]["units"], stored["origin"]["unit"]) == (12, "recording")
    assert "48 images of 12 recordings" in capsys.readouterr().out
    table.write_text("name,group\n00,a\n")
    assert "no group for 47" in _refused(capsys, _argv(tmp_path / "m", photos, "--groups", str(table)))
    table.write_text("name,group\n00,a\n01,a\n00,a\n00,b\n")
    said = _refused(capsys, _argv(tmp_path / "m", photos, "--groups", str(table)))
    assert "has 00 in two groups, a and b: leave one" in said
    assert "columns name and group" in _refused(capsys, _argv(tmp_path / "m", photos, "--groups", "nowhere.csv"))
    assert "1 recording cannot" in _refused(capsys, _argv(tmp_path / "m", photos, "--groups", "names"))


def test_thresholds_that_would_ignore_all_are_not_written(
    calibrated: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(calibrated, folder)
    before = (folder / "config.json").read_bytes()
    assert main(_argv(folder, photos, purity="0.999")) == 2
    said = capsys.readouterr()
    assert "no class can be promised to be 99.9 % pure, so nothing is written" in said.err.splitlines()[-1]
    assert "could promise" in said.err
    assert (folder / "config.json").read_bytes() == before
    assert main(_argv(folder, photos, "-o", str(tmp_path / "copy"), purity="0.999")) == 2
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("more", "purity", "expected"),
    [
        (["--split", "night"], "0.9", "no split 'night'"),
        ([], "1", "must be above 0 and below 1"),
        ([], "nan", "must be above 0 and below 1"),
        (["--confidence", "0"], "0.9", "must be above 0 and below 1"),
        (["--check"], None, "no thresholds to check"),
        (["--check"], "0.9", "leave --purity out"),
        (["--check", "--confidence", "0.9"], None, "leave --confidence out"),
        (["--check", "-o", "out"], "0.9", "leave -o out"),
    ],
)
def test_mistakes_end_in_one_line(
    net: SegmentationModel,
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    purity: str | None,
    expected: str,
) -> None:
    net.save_pretrained(tmp_path / "m")
    assert expected in _refused(capsys, _argv(tmp_path / "m", photos, *more, purity=purity))


@pytest.mark.parametrize("more", [[], ["-o", "copy"]])
def test_exported_files_are_refused_at_once(photos: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    said = _refused(capsys, _argv("m.onnx", photos / "nowhere", *more))
    assert "an ONNX file, which only predicts and evaluates: name the model it was made from" in said


def test_other_classes_than_the_data_sets_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the model knows 5 classes" in _refused(capsys, _argv("clutter", photos, "-o", str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_the_split_of_the_training_is_named(
    net: SegmentationModel, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net.save_pretrained(tmp_path / "run" / "best")
    recipe = f"data: {{dataset: folder, root: {photos}, train_split: val}}\n"
    (tmp_path / "run" / "recipe.yaml").write_text(recipe)
    assert main(_argv(tmp_path / "run" / "best", photos)) == 0
    assert "note: the model was trained on val" in capsys.readouterr().err


def _refused(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    capsys.readouterr()
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.splitlines()[-1].startswith("fanet: error: ")
    return captured.err
