import unicodedata

import pytest

from fanet.errors import UserError
from fanet.segmentation.data import UnknownLabelError, open_dataset
from fanet.segmentation.data.check import check_dataset
from fanet.segmentation.data.labels.one_per_image import find_annotations

from ...platforms import links
from .forms import BOTTLE, CAN, CLASSES, describe, expected, write_form, write_image, yolo


@pytest.fixture
def root(tmp_path):
    return write_form(tmp_path, "yolo")


def labels_of(root):
    return open_dataset("folder", root, "all")[0].labels


@pytest.mark.parametrize(
    ("file", "text", "keys"),
    [
        ("data.yaml", "names: {0: bottle, 1: can}", {}),
        ("data.yaml", "names:\n  '0': bottle\n  '1': can\ntrain: ../images", {}),
        ("data.yml", "names: [bottle, can]", {}),
        ("classes.txt", "bottle\ncan\n", {}),
        ("labels/classes.txt", "bottle\ncan\n", {}),
        ("sets/belt.yaml", "names: [bottle, can]", {"names_file": "sets/belt.yaml"}),
        ("sets/obj.names", "bottle\n\ncan\n", {"names_file": "sets/obj.names"}),
    ],
)
def test_classes_are_named_by_a_file(root, file, text, keys):
    (root / "data.yaml").unlink()
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_text(text)
    describe(root, "yolo", "labels", "images/**/*.png", classes=["can", "_background_", "bottle"], **keys)
    dataset = open_dataset("folder", root, "all")
    assert ([[1, 2, 0][value] for value in expected().ravel()] == dataset[0].labels.ravel()).all()
    assert not dataset.missing_images


def test_without_such_a_file_ids_count_the_classes_and_this_is_reported(root):
    (root / "data.yaml").unlink()
    describe(root, "yolo", "labels", "images/**/*.png", classes=["bottle", "background", "can"])
    dataset = open_dataset("folder", root, "all")
    assert ([[1, 0, 2][value] for value in expected().ravel()] == dataset[0].labels.ravel()).all()
    assert dataset.notes[-1] == "there is no data.yaml that names the class ids, so 0 is bottle, 1 is can"


@pytest.mark.parametrize("place", ["labels", "labels/{name}.txt"])
def test_image_without_objects_is_background_and_counted(root, place):
    write_image(root / "images" / "c.png")
    (root / "labels" / "d.txt").write_text("")
    dataset = open_dataset("folder", describe(root, "yolo", place, "images/**/*.png"), "all")
    assert dataset.names == ["a", "c", "sub/b"] and not dataset[1].labels.any() and not dataset[2].labels.any()
    assert dataset.notes == [
        "taken as background only: 1 image without a text file (c)",
        "taken as background only: 1 image whose text file has no outline (sub/b)",
    ]
    assert [file[-5:] for file in dataset.missing_images] == (["d.txt"] if place == "labels" else [])


def test_boxes_are_left_out_and_counted(root):
    (root / "labels" / "a.txt").write_text(yolo((0, BOTTLE)) + "1 0.5 0.5 0.2 0.2\n\n" * 2 + yolo((1, CAN)))
    dataset = open_dataset("folder", root, "all")
    assert (dataset[0].labels == expected()).all()
    assert dataset.notes[0].startswith("left out: 2 objects with a box instead of an outline (") and (
        "a.txt, line 2 and 1 more)" in dataset.notes[0]
    )


@pytest.mark.parametrize("text", ["{}", "\ufeff{}", "{}\r\n", "\n\n{}", " {}\t"])
def test_lines_may_be_written_as_any_editor_does(root, text):
    (root / "labels" / "a.txt").write_bytes(text.format(yolo((0, BOTTLE), (1, CAN))).encode())
    assert (labels_of(root) == expected()).all()


def test_parts_joined_to_one_outline_are_filled(root):
    joined = [3, 3, 1, 3, 1, 1, 3, 1, 3, 3, 5, 3, 7, 3, 7, 5, 5, 5, 5, 3]
    (root / "labels" / "a.txt").write_text(yolo((0, joined)))
    assert labels_of(root).sum() == 8, "two parts, and the line between them has no area"


def test_outline_that_reaches_beyond_the_image_is_cut_and_counted(root):
    (root / "labels" / "a.txt").write_text(yolo((0, [-1, -1, 9, -1, 9, 2, -1, 2])))
    dataset = open_dataset("folder", root, "all")
    assert dataset[0].labels[:2].all() and not dataset[0].labels[2:].any()
    assert dataset.notes[0].startswith("cut at the border: 1 object reaching beyond the image (")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1 1 6 1 6 4", r"a.txt, line 2: coordinates must be shares of the image's width and height, 0 to 1, got 6"),
        ("0 .1 .1 .5 .5 -7 .1", "line 2: coordinates must be shares .* got -7"),
        ("0 .1 .1 .5 .5 .1", "line 2: expected `class x1 y1 x2 y2 …` with at least three corners, got 6 numbers"),
        ("0 .1 .1 .5 .5 .1 .2 .3", "line 2: expected .* got 8 numbers"),
        ("0 .1", "line 2: expected .* got 2 numbers"),
        ("0 .1 .1 .5 x .1 .2", "line 2: expected numbers only, .* got '0 .1 .1 .5 x .1 .2'"),
        ("bottle .1 .1 .5 .5 .1 .2", "line 2: expected numbers only"),
        ("0 .1 .1 .5 nan .1 .2", "line 2: expected numbers only"),
        ("0,.1,.1,.5,.5,.1,.2", "line 2: expected numbers only"),
    ],
)
def test_mistake_in_a_file_is_named_with_its_line(root, line, message):
    (root / "labels" / "a.txt").write_text(yolo((0, BOTTLE)) + line)
    with pytest.raises(UserError, match=message):
        labels_of(root)
    (error,) = check_dataset("folder", root).errors
    assert error.startswith("1 files that cannot be read: ")


@pytest.mark.parametrize("key", ["2", "-1", "0.5", "1e30"])
def test_unknown_class_id_is_named_with_its_line(root, key):
    (root / "labels" / "a.txt").write_text(f"{key} .1 .1 .5 .5 .1 .2")
    with pytest.raises(UnknownLabelError, match=r"a.txt, line 1 holds the unknown label class id .*: known are 0, 1"):
        labels_of(root)
    (error,) = check_dataset("folder", root).errors
    assert error.startswith("1 masks with unknown labels: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [bottle, cup]", r"unknown label cup: .* classes: \[background, bottle, can, cup\]$"),
        ("nc: 2", "names must be a list of class names"),
        ("names: [1, 2]", "names must be a list of class names"),
        ("names: {a: bottle}", "names must be a list of class names"),
        ("- bottle", "names must be a list of class names"),
        ("names: [bottle, can]\nkpt_shape: [17, 3]", "describes keypoints"),
        ("names: [bottle, can]\nnc: 3", "nc is 3, but names has 2 classes: correct one of them"),
        ("names: {0: bottle, 0: can}", "the key 0 is in line 1 and again in line 1"),
        ("names: [a", "data.yaml is not valid YAML"),
        ("names: 2020-99-99", "data.yaml is not valid YAML"),
        ("[" * 5000, "data.yaml is not valid YAML"),
    ],
)
def test_names_that_cannot_be_used_are_refused(root, text, message):
    (root / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        open_dataset("folder", root, "all")


def test_files_that_name_class_ids_differently_are_refused(root):
    (root / "labels" / "classes.txt").write_text("bottle\ncan\n")
    assert (labels_of(root) == expected()).all()
    (root / "labels" / "classes.txt").write_text("can\nbottle\n")
    with pytest.raises(UserError, match="name the class ids differently: .* names_file: data.yaml"):
        labels_of(root)


def test_ids_of_one_name_and_outlines_that_are_lines_are_told(root):
    (root / "data.yaml").write_text("names: [bottle, can, can]")
    with (root / "labels" / "a.txt").open("a") as file:
        file.write("0 .1 .1 .2 .2 .3 .3\n")
    dataset = open_dataset("folder", root, "all")
    assert (dataset[0].labels == expected()).all()
    assert "several class ids have one name, and become one class: can" in dataset.notes
    assert dataset.notes[0].startswith("left out: 1 object too small to cover a pixel (")


@pytest.mark.parametrize(
    ("place", "keys", "message"),
    [
        ("nowhere", {}, "there is no folder .*nowhere, which .*dataset.yaml names: annotations must be a folder, or"),
        ("images", {}, "images has no .txt files"),
        ("labels/x{name}.txt", {}, "none of the split's 2 images has a text file in .*: that of .*a.png would"),
        ("labels", {"names_file": "gone.yaml"}, "there is no file .*gone.yaml, the names_file"),
        ("labels", {"names_file": 3}, "names_file must be the path"),
    ],
)
def test_wrong_places_are_refused(root, place, keys, message):
    with pytest.raises(UserError, match=message):
        open_dataset("folder", describe(root, "yolo", place, "images/**/*.png", **keys), "all")


def test_class_without_a_name_and_rest_without_a_background_are_reported(root):
    describe(root, "yolo", "labels", "images/**/*.png", classes=[*CLASSES[1:], "cup"])
    notes = open_dataset("folder", root, "all").notes
    assert any(note.startswith("no class in ") and note.endswith("is called cup") for note in notes)
    assert any(note.startswith("no class is the background") for note in notes)


@links
@pytest.mark.parametrize("place", ["labels", "labels/{name}.txt", "labels/{name}.TXT"])
def test_annotations_are_found_in_any_normal_form_and_through_links(tmp_path, place):
    stored, called = (unicodedata.normalize(form, "übung") for form in ("NFD", "NFC"))
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / f"{stored}.txt").touch()
    (tmp_path / "labels").symlink_to("disk")
    images = {called: str(tmp_path / "images" / f"{called}.jpg")}
    files, others, notes = find_annotations(tmp_path, place, images, ".txt")
    assert files == {called: str(tmp_path / "labels" / f"{stored}.txt")} and not others and not notes
