"""`fanet data check` and `fanet evaluate` on the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.classes import ZEROWASTE
from fanet.cli import main
from fanet.segmentation import UperNet

LAYOUT = "splits_final_deblurred"


def run(argv: list[str]) -> int:
    try:
        return main([str(word) for word in argv])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of five classes and one of three."""
    folder = tmp_path_factory.mktemp("models")
    for count in (5, 3):
        network = UperNet("test_fanet", num_classes=count, head_channels=8, aux_channels=0)
        network.save_pretrained(folder / f"of_{count}")
    return folder


@pytest.fixture
def place(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with valid and broken data sets, models, and files that are in the way."""
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "good")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    (tmp_path / "other.zip").write_bytes(b"x" * 100)
    (tmp_path / "no_yaml").mkdir()
    (tmp_path / "bad_yaml").mkdir()
    (tmp_path / "bad_yaml" / "dataset.yaml").write_text("classes: [a\nsplits: 3")
    small(tmp_path / "no_mask")
    (tmp_path / "no_mask" / LAYOUT / "test" / "sem_seg" / "1.PNG").unlink()
    small(tmp_path / "unknown")
    Image.new("L", (48, 40), 9).save(tmp_path / "unknown" / LAYOUT / "test" / "sem_seg" / "1.PNG", "PNG")
    small(tmp_path / "cut")
    cut = tmp_path / "cut" / LAYOUT / "test" / "data" / "0.PNG"
    cut.write_bytes(cut.read_bytes()[:2000])
    small(tmp_path / "sizes")
    Image.new("L", (8, 8)).save(tmp_path / "sizes" / LAYOUT / "test" / "sem_seg" / "0.PNG", "PNG")
    shutil.copytree(models, tmp_path / "models")
    return tmp_path


def small(root: Path) -> None:
    rng = np.random.default_rng(0)
    for kind, values, shape in (("data", 256, (40, 48, 3)), ("sem_seg", 5, (40, 48))):
        folder = root / LAYOUT / "test" / kind
        folder.mkdir(parents=True)
        for index in range(2):
            Image.fromarray(rng.integers(values, size=shape, dtype=np.uint8)).save(folder / f"{index}.PNG", "PNG")


def test_check_reports_what_the_data_set_holds(belt, tmp_path, capsys):
    assert run(["data", "check", belt, "--dataset", "zerowaste", "--json", tmp_path / "report.json"]) == 0
    text = capsys.readouterr().out
    assert "train: 3 images (3 of 1920x1080)" in text and "test: 2 images (2 of 1920x1080)" in text
    assert "warning: 1 names in several splits with different pixels: clip_00.PNG" in text
    assert "ZeroWaste-f has 929" in text and text.endswith("the data set can be used\n")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["splits"]["val"]["sizes"] == {"1920x1080": 1} and report["errors"] == []
    for split in report["splits"].values():
        assert sum(split["class_shares"].values()) == pytest.approx(100)


def test_evaluate_prints_and_writes_every_score(belt, models, tmp_path, capsys):
    output = tmp_path / "new" / "out"
    model = str(models / "of_5")
    assert run(["evaluate", "--model", model, "--dataset", "zerowaste", "--data", belt, "-o", output]) == 0
    text = capsys.readouterr().out
    result = json.loads((output / "metrics.json").read_text())
    for name, score in [*result["iou"].items(), ("mIoU", result["miou"]), ("pixel accuracy", result["pixel_accuracy"])]:
        assert any(line.startswith(name) and f"{score:.2f} %" in line for line in text.splitlines())
    assert f"95 % interval over images: {result['miou_low']:.2f} to {result['miou_high']:.2f}" in text
    assert list(result["iou"]) == list(ZEROWASTE.names) and np.sum(result["confusion_matrix"]) == 2 * 1920 * 1080
    assert (result["model"], result["dataset"], result["split"], result["images"]) == (model, "zerowaste", "test", 2)
    assert sorted(path.name for path in output.iterdir()) == [
        "confusion_matrix.png",
        "metrics.json",
        "per_image.npz",
        "report.html",
    ]


def test_evaluate_runs_without_a_model_or_a_folder(tmp_path, capsys):
    argv = ["evaluate", "--dataset", "clutter", "--count", "1", "--size", "64", "96", "--difficulty", "0.5"]
    assert run([*argv, "--scales", "0.5", "1", "--flip", "-o", tmp_path]) == 0
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert result["options"] == {"count": 1, "size": [64, 96], "difficulty": 0.5}
    assert result["scales"] == [0.5, 1.0] and result["flip"] is True
    assert result["miou_low"] is None, "one image has no spread"
    assert "interval" not in capsys.readouterr().out


EVALUATE = ["evaluate", "-o", "out"]
ZEROWASTE_TEST = ["--dataset", "zerowaste", "--data"]

BAD_INPUTS = [
    (["data", "check", "good"], "required: --dataset"),
    (["data", "check", "good", "--dataset", "coco"], "invalid choice: 'coco'"),
    (["data", "check", "nowhere", "--dataset", "zerowaste"], "there is no folder nowhere"),
    (["data", "check", "file", "--dataset", "zerowaste"], "file is neither a folder nor a zip archive"),
    (["data", "check", "empty", "--dataset", "zerowaste"], "empty has no splits_final_deblurred"),
    (["data", "check", "broken.zip", "--dataset", "zerowaste"], "broken.zip is not a complete zip archive"),
    (["data", "check", "nowhere.zip", "--dataset", "zerowaste"], "there is no file nowhere.zip: download .*data.root"),
    (["data", "check", "good", "--dataset", "zerowaste", "--split", "dev"], "no split 'dev', only test"),
    (["data", "check", "no_yaml", "--dataset", "folder"], "there is no file no_yaml/dataset.yaml"),
    (["data", "check", "bad_yaml", "--dataset", "folder"], "bad_yaml/dataset.yaml is not valid YAML"),
    (["data", "check", "good", "--dataset", "zerowaste", "--json", "nowhere/r.json"], "nowhere does not exist"),
    (["data", "check", "good", "--dataset", "zerowaste", "--workers", "0"], "0 is not above 0"),
    (["data", "check", "no_mask", "--dataset", "clutter"], "1 images without a mask: test: .*1.PNG"),
    (["data", "check", "unknown", "--dataset", "clutter"], "1 masks with unknown labels: .*1.PNG (9)"),
    (["data", "check", "cut", "--dataset", "clutter"], "1 files that cannot be read: .*0.PNG is truncated or damaged"),
    (["data", "check", "sizes", "--dataset", "clutter"], "another size than their mask: test: 0.PNG (48x40, mask 8x8)"),
    ([*EVALUATE], "required: --dataset"),
    ([*EVALUATE, "--dataset", "zerowaste"], "zerowaste needs its folder"),
    ([*EVALUATE, *ZEROWASTE_TEST, "nowhere"], "there is no folder nowhere"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--split", "val"], "no split 'val'"),
    ([*EVALUATE, *ZEROWASTE_TEST, "no_mask"], "1 image has no mask"),
    ([*EVALUATE, *ZEROWASTE_TEST, "unknown"], "1.PNG holds the unknown label 9: known are 0 to 4, and 255"),
    ([*EVALUATE, *ZEROWASTE_TEST, "cut"], "0.PNG is truncated or damaged"),
    ([*EVALUATE, *ZEROWASTE_TEST, "sizes"], "0.PNG has 48x40 pixels, but its mask has 8x8"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--model", "nowhere"], "nowhere"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--model", "models/of_3"], "knows 3 classes, the data set has 5"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--count", "3"], "zerowaste from files has no option 'count'"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--scales", "0"], "0 is not in 0.125 to 8"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--scales", "big"], "'big' is not a number"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "--bootstrap", "-1"], "-1 is below 0"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "-o", "file"], "the file file is in the way"),
    ([*EVALUATE, *ZEROWASTE_TEST, "good", "-o", "file/out"], "file is in the way"),
    ([*EVALUATE, "--dataset", "clutter", "--split", "dev"], "no split 'dev'"),
    ([*EVALUATE, "--dataset", "clutter", "--size", "8", "8"], "at least 32 pixels"),
    ([*EVALUATE, "--dataset", "clutter", "--difficulty", "2"], "2 is not between 0 and 1"),
]


@pytest.mark.parametrize(("argv", "message"), BAD_INPUTS, ids=[" ".join(argv) for argv, _ in BAD_INPUTS])
def test_bad_input_is_refused_in_one_line(place, capsys, argv, message):
    before = sorted(path for path in place.rglob("*"))
    assert run(argv) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
    assert len(errors) == 1 and errors[0].startswith("fanet")
    head, _, tail = message.partition(".*")
    assert head in errors[0] and tail in errors[0], errors[0]
    assert sorted(path for path in place.rglob("*")) == before, "no files are left"


def test_archive_other_than_the_published_one_needs_an_option(place, capsys):
    shutil.make_archive("repacked", "zip", "good")
    assert run(["data", "check", "repacked.zip", "--dataset", "zerowaste"]) == 2
    error = capsys.readouterr().err
    assert "the published archive 7518242799" in error and "--any-archive" in error
    assert run(["data", "check", "repacked.zip", "--dataset", "zerowaste", "--any-archive"]) == 0
    assert "test: 2 images (2 of 48x40)" in capsys.readouterr().out


def described(root: Path, count: int, sizes: int, images: int) -> Path:
    """Write a data set of your own with many classes and sizes; all masks hold the first classes only."""
    for index in range(images):
        shape = (8 + index % sizes, 16)
        for folder, pixels in (("images", np.full((*shape, 3), index)), ("masks", np.arange(16 * shape[0]) % 9)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            file = root / folder / f"{'a_very_long_name_' * 8}{index}.png"
            Image.fromarray(pixels.reshape(*shape, *pixels.shape[2:]).astype(np.uint8)).save(file)
    names = [f"class number {index}" for index in range(count)]
    text = json.dumps({"classes": names, "splits": {"train": {"images": "images", "masks": "masks"}}})
    (root / "dataset.yaml").write_text(text)
    return root


def test_check_of_many_classes_and_sizes_fits_on_a_screen(tmp_path, capsys):
    root = described(tmp_path / "set", count=171, sizes=20, images=45)
    assert run(["data", "check", root, "--dataset", "folder", "--json", tmp_path / "report.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train: 45 images (20 sizes from 16x8 to 16x27, 3 of 16x8)"
    assert len([line for line in lines if " of the pixels, in 45 images" in line]) == 8
    assert any(line.startswith("  1 other class has 1") for line in lines)
    assert "162 of 171 classes have no pixel: class number 9, class number 10, class number 11 and 159 more" in str(
        lines
    )
    assert len(lines) <= 24 and lines[-1] == "the data set can be used"
    assert len(json.loads((tmp_path / "report.json").read_text())["splits"]["train"]["class_shares"]) == 171


def test_check_groups_problems_and_keeps_lines_short(tmp_path, capsys):
    root = described(tmp_path / "set", count=5, sizes=1, images=9)
    for index, file in enumerate(sorted((root / "images").iterdir())[:4]):
        file.unlink() if index % 2 else file.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert run(["data", "check", root, "--dataset", "folder"]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if "error: " in line]
    assert [line.split(":")[2] for line in errors] == [" 2 files that cannot be read", " 5 masks with unknown labels"]
    assert all(len(line) < 1500 for line in errors) and "and 2 more" in errors[1]
    assert captured.out.splitlines()[-1] == "the data set cannot be used as it is"


def test_whole_report_can_be_printed_as_json(tmp_path, capsys):
    root = described(tmp_path / "set", count=10, sizes=2, images=3)
    assert run(["data", "check", root, "--dataset", "folder", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"]["train"]["numbers"] == list(range(9)) and report["errors"] == []


def test_evaluation_of_one_class_prints_no_score(tmp_path, models, capsys):
    text = json.dumps(
        {
            "classes": ["sky", "tree", "road"],
            "splits": {"test": {"images": "images", "masks": "masks"}},
        }
    )
    for folder, mode in (("images", "RGB"), ("masks", "L")):
        (tmp_path / folder).mkdir()
        for name in "ab":
            Image.new(mode, (40, 40)).save(tmp_path / folder / f"{name}.png")
    (tmp_path / "dataset.yaml").write_text(text)
    output = tmp_path / "out"
    argv = ["evaluate", "--model", models / "of_3", "--dataset", "folder", "--data", tmp_path, "-o", output]
    assert run(argv) == 0
    captured = capsys.readouterr()
    assert "note: only sky is labelled in these images, so that scores would mean nothing" in captured.err
    assert "%" not in captured.out and "mIoU without background" not in captured.out
    result = json.loads((output / "metrics.json").read_text())
    assert result["miou"] is result["miou_low"] is result["miou_no_background"] is None
    assert np.sum(result["confusion_matrix"]) == 2 * 40 * 40


def test_mean_without_background_is_printed_only_where_there_is_one(tmp_path, models, capsys):
    for names, is_printed in ((["sky", "tree", "road"], False), (["sky", "tree", "BG"], True)):
        root = tmp_path / names[2]
        for folder, pixels in (("images", np.zeros((40, 40, 3))), ("masks", np.arange(1600).reshape(40, 40) % 3)):
            (root / folder).mkdir(parents=True)
            Image.fromarray(pixels.astype(np.uint8)).save(root / folder / "a.png")
        text = json.dumps({"classes": names, "splits": {"test": {"images": "images", "masks": "masks"}}})
        (root / "dataset.yaml").write_text(text)
        argv = ["evaluate", "--model", models / "of_3", "--dataset", "folder", "--data", root, "-o", root / "out"]
        assert run(argv) == 0
        assert ("mIoU without background" in capsys.readouterr().out) == is_printed
        score = json.loads((root / "out" / "metrics.json").read_text())["miou_no_background"]
        assert (score is not None) == is_printed
