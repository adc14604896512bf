"""Data sets of every kind as images and masks of class indices: `fanet data convert`."""

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.data import list_splits, open_dataset
from fanet.segmentation.data.clutter import write_clutter
from fanet.segmentation.data.convert import convert_dataset

from .forms import expected, write_form, write_image

FORMS = ["index", "colour", "coco", "yolo", "labelme"]


def assert_same(first, second):
    assert first.names == second.names and first.classes == second.classes
    for one, other in zip(first, second, strict=True):
        assert (one.image == other.image).all() and (one.labels == other.labels).all()


@pytest.mark.parametrize("form", FORMS)
def test_result_has_the_same_samples_and_so_has_its_own(tmp_path, form):
    source = open_dataset("folder", write_form(tmp_path / "in", form), "all")
    assert (source[0].labels == expected()).all() and not source[1].labels.any()
    report = convert_dataset("folder", tmp_path / "in", tmp_path / "out")
    assert report.images == {"all": 2} and list_splits("folder", tmp_path / "out") == ["all"]
    assert_same(source, open_dataset("folder", tmp_path / "out", "all"))
    convert_dataset("folder", tmp_path / "out", tmp_path / "again", workers=2 if form == "index" else 1)
    files = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.*")}
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_images_are_copied_unchanged_and_masks_show_the_palette(tmp_path):
    write_form(tmp_path / "in", "colour")
    convert_dataset("folder", tmp_path / "in", tmp_path / "out")
    for name in ("a", "sub/b"):
        copy = tmp_path / "out" / "images" / "all" / f"{name}.png"
        assert copy.read_bytes() == (tmp_path / "in" / "images" / f"{name}.png").read_bytes()
    mask = Image.open(tmp_path / "out" / "masks" / "all" / "a.png")
    assert mask.mode == "P" and mask.getpalette()[:9] == [0, 0, 0, 230, 5, 5, 4, 200, 3]
    assert (np.asarray(mask) == expected()).all()


def test_generated_scenes_and_their_layout_can_be_converted(tmp_path):
    write_clutter(tmp_path / "in", 2, 0, 64, split="test")
    assert main(["data", "convert", str(tmp_path / "in"), str(tmp_path / "out"), "--dataset", "zerowaste"]) == 0
    source, result = open_dataset("clutter", tmp_path / "in", "test"), open_dataset("folder", tmp_path / "out", "test")
    assert result.names == ["scene_000000", "scene_000001"] and result.classes == source.classes
    for one, other in zip(source, result, strict=True):
        assert (one.image == other.image).all() and (one.labels == other.labels).all()


def test_what_was_left_out_is_printed_before_the_counts(tmp_path, capsys):
    root = write_form(tmp_path / "in", "yolo")
    (root / "labels" / "a.txt").write_text((root / "labels" / "a.txt").read_text() + "0 .5 .5 .2 .2\n")
    (root / "labels" / "gone.txt").write_text("")
    assert main(["data", "convert", str(root), str(tmp_path / "out")]) == 0
    *notes, last = capsys.readouterr().out.splitlines()
    assert last == f"2 images with masks (2 in all) in {tmp_path / 'out'}"
    assert notes[0] == f"note: all: left out: 1 labels without an image ({root}/labels/gone.txt)"
    assert notes[1].startswith("note: all: left out: 1 object with a box instead of an outline (")


def test_split_of_any_name_and_images_without_labels(tmp_path, capsys):
    root = write_form(tmp_path / "in", "labelme")
    write_image(root / "images" / "c.png")
    description = yaml.safe_load((root / "dataset.yaml").read_text())
    description["splits"] = {"../[x]": description["splits"]["all"], "val": description["splits"]["all"]}
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))
    assert main(["data", "convert", str(root), str(tmp_path / "out"), "--split", "../[x]"]) == 0
    assert "note: ../[x]: left out: 1 images without labels" in capsys.readouterr().out
    assert list_splits("folder", tmp_path / "out") == ["../[x]"]
    assert open_dataset("folder", tmp_path / "out", "../[x]").names == ["a", "sub/b"]


def test_folder_with_files_is_refused(tmp_path):
    write_form(tmp_path / "in", "index")
    for output in (tmp_path / "in", tmp_path / "in" / "dataset.yaml"):
        with pytest.raises(UserError, match="has files, which would be overwritten"):
            convert_dataset("folder", tmp_path / "in", output)


def test_nothing_stays_of_a_conversion_that_fails(tmp_path):
    root = write_form(tmp_path / "in", "index")
    (root / "labels" / "sub" / "b.png").write_bytes(b"damaged")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"b\.png is not an image"):
        convert_dataset("folder", root, tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())
    with pytest.raises(UserError):
        convert_dataset("folder", root, tmp_path / "new")
    assert not (tmp_path / "new").exists()
