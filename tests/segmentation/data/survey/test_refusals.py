"""Where a guess may cost labels there is one line that says what to do, and nothing is written."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fanet.errors import UserError
from fanet.segmentation.data.survey import drafts, survey_folder, write_new

from .photos import labels, photo, save, words, write_pairs
from .test_survey import COLOURS, NAMES, WHITE, coco, labelme, write_flat_yolo, write_images, write_text


def grey(root: Path) -> None:
    write_pairs(root, NAMES)
    for number, name in enumerate(NAMES):
        save(root / "masks" / f"{name}.png", photo(number)[..., 0])


def smoothed(root: Path) -> None:
    """Masks of 0 and 255 with soft edges."""
    write_pairs(root, NAMES)
    for number, name in enumerate(NAMES):
        mask = Image.fromarray(WHITE[labels(number, 2, (96, 128))]).filter(ImageFilter.GaussianBlur(0.6))
        mask.save(root / "masks" / f"{name}.png")
        save(root / "images" / f"{name}.jpg", photo(number, (96, 128)))


def lossy(root: Path) -> None:
    write_pairs(root, NAMES, mask="masks/{}.jpg", change=lambda found: COLOURS[found])


def instances(root: Path) -> None:
    """Masks in which each object has a number of its own."""
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.jpg", photo(number))
        mask = np.zeros((24, 32), np.uint8)
        for index in range(1, 3 + number % 5):
            mask[2:8, 4 * index : 4 * index + 3] = index
        save(root / "masks" / f"{name}.png", mask)


def two_folders(root: Path) -> None:
    write_pairs(root, NAMES)
    write_pairs(root, NAMES, mask="labels/{}.png")


def two_kinds(root: Path) -> None:
    write_pairs(root, NAMES, mask="masks/{}_labelIds.png")
    write_pairs(root, NAMES, mask="masks/{}_trainIds.png")


def two_forms(root: Path) -> None:
    write_pairs(root, NAMES)
    write_text(root / "annotations.json", coco(NAMES))


def many_without_masks(root: Path) -> None:
    write_pairs(root, NAMES)
    for name in NAMES[:4]:
        (root / "masks" / f"{name}.png").unlink()


def other_size(root: Path) -> None:
    write_pairs(root, NAMES)
    for name in NAMES[:4]:
        save(root / "masks" / f"{name}.png", labels(0, size=(48, 64)))


def unknown_colour(root: Path) -> None:
    write_pairs(root, NAMES, change=lambda found: COLOURS[found])
    write_text(root / "class_dict.csv", "name,r,g,b\nfloor,0,0,0\nbottle,230,5,5\n")


def other_names(root: Path) -> None:
    write_pairs(root, NAMES, classes=4)
    write_text(root / "classes.txt", "floor\nbottle")


def void_or_background(root: Path) -> None:
    """Masks with one number more than there are names, and 0 that is not the most frequent."""
    last_first = np.array([3, 0, 1, 2], np.uint8)
    write_pairs(root, NAMES, classes=4, change=lambda found: last_first[found])
    write_text(root / "classes.txt", "floor\nbottle\ncan")


def old_masks(root: Path) -> None:
    write_pairs(root, NAMES)
    write_pairs(root, NAMES, mask="masks_old/{}.png")


def names_of_colours(root: Path) -> None:
    write_pairs(root, NAMES, change=lambda found: COLOURS[found])
    write_text(root / "classes.txt", "floor\nbottle\ncan")


def one_value(root: Path) -> None:
    write_pairs(root, NAMES, classes=1)


def half_in_splits(root: Path) -> None:
    write_pairs(root, NAMES, "images/train/{}.jpg", "masks/train/{}.png")
    write_pairs(root, words(20)[10:], "images/more/{}.jpg", "masks/more/{}.png")


def only_test(root: Path) -> None:
    write_pairs(root, NAMES, "images/test/{}.jpg", "masks/test/{}.png")


def boxes(root: Path) -> None:
    write_flat_yolo(root)
    for name in NAMES:
        write_text(root / f"{name}.txt", "0 0.5 0.5 0.2 0.2\n")


def boxes_in_coco(root: Path) -> None:
    write_images(root, "images/{}.jpg", NAMES)
    content = json.loads(coco(NAMES))
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    write_text(root / "boxes.json", json.dumps(content))


def ids_without_names(root: Path) -> None:
    write_flat_yolo(root)
    write_text(root / "classes.txt", "bottle\n")


def no_labels(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)


def other_tools(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)
    write_text(root / "annotations.xml", "<annotations/>")
    write_text(root / "a.jpg.json", '{"objects": []}')


def packed_masks(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)
    (root / "masks.ZIP").write_bytes(b"")


def all_packed(root: Path) -> None:
    (root / "export.tar.xz").write_bytes(b"")


def turned(root: Path) -> None:
    """Masks drawn on what is stored, of images that are shown rotated."""
    exif = Image.Exif()
    exif[0x0112] = 6
    write_pairs(root, NAMES)
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.jpg", photo(number), exif=exif)


def other_stems(root: Path) -> None:
    for number, name in enumerate(NAMES):
        save(root / "images" / f"{name}.jpg", photo(number))
        save(root / "masks" / f"{words(40)[20 + number]}.png", labels(number))


def other_case(root: Path) -> None:
    write_pairs(root, NAMES)
    for path in (root / "masks").iterdir():
        path.rename(path.with_name(path.name.upper()))


def kinds_of_cityscapes(root: Path) -> None:
    names = [f"{city}_0001" for city in ("aachen", "bonn")]
    for kind in ("color", "labelIds"):
        write_pairs(root, names, "leftImg8bit/{}_leftImg8bit.png", f"gtFine/{{}}_gtFine_{kind}.png")


def nothing(root: Path) -> None:
    write_text(root / "notes.txt", "hello")


def one_image(root: Path) -> None:
    write_pairs(root, ["a"])


def list_is_in_the_way(root: Path) -> None:
    write_pairs(root, NAMES)
    write_text(root / "val.txt", f"{NAMES[0]}\n")


def broken_image(root: Path) -> None:
    write_pairs(root, NAMES)
    path = root / "images" / f"{NAMES[2]}.jpg"
    path.write_bytes(path.read_bytes()[:200])


def numbers_without_names(root: Path) -> None:
    write_pairs(root, NAMES, change=lambda found: np.array([0, 2, 3], np.uint8)[found])
    write_text(root / "data.yaml", "names: {1: bottle, 3: can}")


def ids_with_gaps(root: Path) -> None:
    write_flat_yolo(root)
    (root / "classes.txt").unlink()
    write_text(root / "data.yaml", "names: {0: bottle, 5: can}")


def name_twice(root: Path) -> None:
    write_pairs(root, NAMES)
    write_text(root / "classes.txt", "floor\ncan\ncan")


def colours_and_numbers(root: Path) -> None:
    write_pairs(root, NAMES)
    write_pairs(root, NAMES[:4], change=lambda found: COLOURS[found])


def palettes_of_two_tools(root: Path) -> None:
    """Masks that hold the same numbers, and show them in other colours."""
    write_pairs(root, NAMES)
    for number, name in enumerate(NAMES):
        mask = Image.fromarray(labels(number))
        mask.putpalette((COLOURS + number % 2).tobytes())
        mask.save(root / "masks" / f"{name}.png")


def recordings_of_classes(root: Path) -> None:
    """A folder of masks for each class, of some images each."""
    write_pairs(root, NAMES[:8], mask="masks/can/{}.png")
    write_pairs(root, NAMES[6:], mask="masks/bag/{}.png", first=6)


def one_palette_and_none(root: Path) -> None:
    palettes_of_two_tools(root)
    save(root / "masks" / f"{NAMES[0]}.png", labels(0))


def twins(root: Path) -> None:
    write_pairs(root, NAMES)
    save(root / "images" / f"{NAMES[0]}.png", photo(0))


def no_categories(root: Path) -> None:
    write_images(root, "images/{}.jpg", NAMES)
    write_text(root / "a.json", json.dumps(json.loads(coco(NAMES)) | {"categories": []}))


def category_called_7(root: Path) -> None:
    write_images(root, "images/{}.jpg", NAMES)
    content = json.loads(coco(NAMES))
    content["categories"][0]["name"] = 7
    write_text(root / "a.json", json.dumps(content))


def empty_label(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)
    for name in NAMES:
        write_text(root / f"{name}.json", labelme(name))
    content = json.loads(labelme(NAMES[4]))
    content["shapes"][0]["label"] = " "
    write_text(root / f"{NAMES[4]}.json", json.dumps(content))


REFUSALS = {
    grey: r"different numbers, .*: if edges are smoothed.*classes\.txt",
    smoothed: r"different numbers, .*: if edges are smoothed",
    lossy: r"compressed with loss \(JPEG\).*and 9 more masks like it",
    instances: r"seem to count objects .*classes\.txt, one a line",
    two_folders: r"labels and .*masks both have labels|masks and .*labels both have labels.* a number for each class",
    two_kinds: r"may both be the mask of",
    two_forms: r"labels in two forms, masks .* and COCO annotations",
    many_without_masks: r"4 of the 10 images.* have no mask",
    other_size: r"32x24 pixels, but its mask .* has 64x48.*and 3 more images with faults",
    unknown_colour: r"holds #04c803, which .*class_dict\.csv does not name",
    other_names: r"names 2 classes, but the masks hold 4 numbers \(0, 1, 2, 3\)",
    void_or_background: r"names 3 classes, but the masks hold 0 to 3: add `background` as its first line if 0 is that",
    old_masks: r"masks and .*masks_old both have labels for the images in .*images",
    names_of_colours: r"no file their colours: write .*class_dict\.csv.* floor,0,0,0, ",
    one_value: r"hold 0 only: there is nothing to tell apart",
    half_in_splits: r"are in no split, while others are in train: move them",
    only_test: r"for test only, and none to train on",
    boxes: r"10 boxes and no outlines",
    boxes_in_coco: r"boxes\.json has no outlines",
    ids_without_names: r"class id 1, but .*classes\.txt names 1 classes",
    no_labels: r"has 10 images, but neither masks nor annotations",
    other_tools: r"for them \(.*json, .*annotations\.xml: in a format that is not read\): put masks",
    packed_masks: r"neither masks nor annotations for them: unpack .*masks\.ZIP first",
    all_packed: r"has no images: unpack .*export\.tar\.xz first",
    turned: r"24x32 pixels, but its mask .* has 32x24: the image is shown rotated, by its EXIF orientation",
    other_stems: r"no mask in .* has the name of an image",
    other_case: r"differ in upper and lower case: give masks the names of their images",
    kinds_of_cityscapes: r"4 masks for 2 images, and it is not clear which are meant",
    nothing: r"has no images",
    one_image: r"only one labelled image",
    list_is_in_the_way: r"val\.txt, which is not overwritten",
    broken_image: r"truncated",
    numbers_without_names: r"the masks hold 2, which .*data\.yaml does not number: add a name for each",
    ids_with_gaps: r"class id 1, but .*data\.yaml names only 0, 5",
    name_twice: r"classes\.txt names can twice",
    colours_and_numbers: r"holds colours, but .* numbers: save all masks in the same way",
    palettes_of_two_tools: r"in different colours, and it is not clear whether numbers or colours count",
    recordings_of_classes: r"both have labels for the images .* a number for each class",
    one_palette_and_none: r"in different colours, and it is not clear whether numbers or colours count",
    twins: r"would both be called .*: keep one of them",
    no_categories: r"a\.json has no categories",
    category_called_7: r"a\.json: the category with the id \d must have a text as its name, got 7",
    empty_label: r"\.json: shape 1 of \d+ has an empty label",
}


@pytest.mark.parametrize("write", REFUSALS, ids=lambda write: write.__name__)
def test_unclear_labels_are_refused_in_one_line(tmp_path, write):
    write(tmp_path)
    before = sorted(os.walk(tmp_path))
    with pytest.raises(UserError, match=REFUSALS[write]) as refused:
        survey_folder(tmp_path)
    assert "\n" not in str(refused.value) and ".tmp" not in str(refused.value)
    assert sorted(os.walk(tmp_path)) == before


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        survey_folder(tmp_path / "nowhere")


def test_files_are_written_all_or_none(tmp_path, monkeypatch):
    texts = {"a.txt": "1", "b.txt": "2"}
    (tmp_path / "b.txt").write_text("mine")
    with pytest.raises(UserError, match=r"b\.txt, which is not overwritten"):
        write_new(tmp_path, texts)
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"] and (tmp_path / "b.txt").read_text() == "mine"
    (tmp_path / "b.txt").unlink()
    replace = os.replace

    def interrupted(source: Path, target: Path) -> None:
        if Path(target).name == "b.txt":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(drafts.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path, texts)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(drafts.os, "replace", replace)
    write_new(tmp_path, texts)
    assert (tmp_path / "a.txt").read_text() == "1" and len(list(tmp_path.iterdir())) == 2
