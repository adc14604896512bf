import json
import unicodedata

import numpy as np
import pytest

from fanet.errors import UserError
from fanet.segmentation.data import open_dataset
from fanet.segmentation.data.check import check_dataset

from .forms import BOTTLE, CAN, CLASSES, HEIGHT, WIDTH, coco, describe, expected, pairs, write_form, write_image


@pytest.fixture
def opened(tmp_path):
    """A function that opens the split with the given annotations; files are images on disk."""

    def open_with(content, files=("a.png",), **keys):
        for file in files:
            write_image(tmp_path / "images" / file)
        (tmp_path / "objects.json").write_text(json.dumps(content))
        return open_dataset("folder", describe(tmp_path, "coco", "objects.json", "images/**/*.png", **keys), "all")

    return open_with


@pytest.mark.parametrize(
    "outline",
    [
        [BOTTLE],
        BOTTLE,
        pairs(BOTTLE),
        [pairs(BOTTLE)],
        {"size": [HEIGHT, WIDTH], "counts": [7, 3, 3, 3, 3, 3, 3, 3, 3, 3, 14]},
        {"size": [HEIGHT, WIDTH], "counts": "7330000000;"},
    ],
    ids=["polygons", "one polygon", "corners", "polygons of corners", "run lengths", "compressed run lengths"],
)
@pytest.mark.parametrize("crowd", [0, 1])
def test_every_kind_of_outline_is_the_same_object(opened, outline, crowd):
    labels = opened(coco({"segmentation": outline, "iscrowd": crowd}))[0].labels
    assert (labels == np.where(expected() > 0, 1, 0) * (np.arange(WIDTH) < 6) * (np.arange(HEIGHT) < 4)[:, None]).all()


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        ({"segmentation": []}, "left out: 2 objects without an outline (annotation 1 and 1 more)"),
        ({"segmentation": None}, "left out: 2 objects without an outline (annotation 1 and 1 more)"),
        ({"segmentation": [[]]}, "left out: 2 objects without an outline (annotation 1 and 1 more)"),
        ({"segmentation": {"size": [6, 8], "counts": []}}, "left out: 2 objects without an outline"),
        ({"bbox": [1, 2, 3, 4]}, "left out: 2 objects without an outline (annotation 1 and 1 more)"),
        ({"segmentation": [[1, 1, 4, 4]]}, "left out: 2 polygons of fewer than three corners (annotation 1"),
        ({"segmentation": [[9, 1, 12, 1, 12, 5]]}, "left out: 2 objects outside their image (annotation 1"),
        ({"segmentation": [CAN], "image_id": 5}, "left out: 2 objects of images that "),
        (
            {"segmentation": [[1.6, 1.6, 2.4, 1.6, 2.4, 2.4]]},
            "left out: 2 objects too small to cover a pixel (annotation 1",
        ),
        ({"segmentation": [[1, 1, 3, 3, 5, 5]]}, "left out: 2 objects too small to cover a pixel (annotation 1"),
        ({"segmentation": {"size": [6, 8], "counts": [48]}}, "left out: 2 objects too small to cover a pixel"),
        ({"segmentation": {"size": [6, 8], "counts": "`1"}}, "left out: 2 objects too small to cover a pixel"),
    ],
)
def test_object_that_cannot_be_drawn_is_left_out_and_counted(opened, broken, note):
    dataset = opened(coco({"segmentation": [BOTTLE]}, broken, broken, {"category_id": 3, "segmentation": [CAN]}))
    assert any(note in line for line in dataset.notes), dataset.notes
    assert (dataset[0].labels == expected()).all()
    report = check_dataset("folder", dataset.root)
    assert not report.errors and any(note in line for line in report.warnings)


def test_what_reaches_beyond_the_image_and_images_without_objects_are_told(opened):
    files = ("a.png", "b.png")
    content = coco({"segmentation": [[-3, 0, 20, 0, 20, 30, -3, 30]]}, {"segmentation": [CAN]}, files=files)
    dataset = opened(content, files, classes=["background", "bottle"])
    assert dataset[0].labels.all() and not dataset[1].labels.any()
    assert dataset.notes == [
        "cut at the border: 1 object reaching beyond the image (annotation 0)",
        "taken as background only: 1 image without objects (b.png)",
    ]


def test_coordinates_in_shares_of_the_image_are_refused(opened):
    with pytest.raises(UserError, match="no coordinate of its outlines is above 1: they must be in pixels"):
        opened(coco({"segmentation": [[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]]}))


def test_key_that_is_written_twice_is_refused(opened):
    file = opened(coco()).root / "objects.json"
    file.write_text(f'{file.read_text()[:-1]}, "annotations": []}}')
    with pytest.raises(UserError, match=r"^\S+objects.json has the key 'annotations' twice in one object"):
        open_dataset("folder", file.parent, "all")


def test_rest_of_an_object_with_a_degenerate_polygon_is_kept(opened):
    dataset = opened(coco({"segmentation": [[1, 1, 2, 2], BOTTLE]}, {"category_id": 3, "segmentation": [CAN]}))
    assert (dataset[0].labels == expected()).all()
    assert dataset.notes == ["left out: 1 polygon of fewer than three corners (annotation 0)"]


@pytest.mark.parametrize("name", ["Background", "_background_", "__background__", "bg", "BG"])
def test_background_may_have_another_name(opened, name):
    dataset = opened(coco(), classes=["bottle", name, "can"])
    assert (dataset[0].labels == np.array([1, 0, 2])[expected()]).all() and not dataset.notes
    drawn = {"category_id": 9, "segmentation": [[0, 0, 8, 0, 8, 6, 0, 6]]}
    content = coco({"segmentation": [BOTTLE]}, drawn)
    content["categories"].append({"id": 9, "name": "background"})
    assert (opened(content, classes=["bottle", name, "can"])[0].labels == 1).all()


def test_without_a_background_the_rest_is_ignored_and_reported(opened):
    dataset = opened(coco(), classes=["bottle", "can"])
    assert (dataset[0].labels == np.array([255, 0, 1])[expected()]).all()
    assert any("no class is the background" in note and "add a class `background`" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("files", "listed"),
    [
        (["a.png"], "images/a.png"),
        (["a.png"], "images\\a.png"),
        (["a.png"], "C:\\Users\\me\\shots\\a.png"),
        (["a.png"], "/home/me/shots/a.png"),
        (["a.png"], "a.jpg"),
        (["my shot.png"], "my%20shot.png"),
        (["a.png"], "/data/upload/4/ab12cd34-a.png"),
        (["ab12cd34-a.png"], "/data/upload/4/ab12cd34-a.png"),
        (["a.png"], "/data/local-files/?d=shots%2Fa.png"),
        (["a.png"], "https://example.org/shots/a.png?width=80"),
        ([unicodedata.normalize("NFD", "übung.png")], unicodedata.normalize("NFC", "übung.png")),
        ([unicodedata.normalize("NFC", "übung.png")], unicodedata.normalize("NFD", "übung.png")),
        (["x/a.png", "y/a.png"], "shots/x/a.png"),
        (["x/a.png", "y/x/a.png"], "x/a.png"),
        (["a.png", "y/a.png"], "a.png"),
        (["100%.png"], "100%.png"),
    ],
)
def test_image_is_found_whatever_its_file_name_is_written_like(opened, files, listed):
    others = [f"images/{file}" for file in files[1:]]
    dataset = opened(coco(files=(listed, *others)), files)
    assert len(dataset) == len(files) and not dataset.missing_images
    labels = {name: sample.labels for name, sample in zip(dataset.names, dataset, strict=True)}
    name = unicodedata.normalize("NFC", files[0].removesuffix(".png"))
    assert (labels[name] == expected()).all()


@pytest.mark.parametrize(
    ("files", "listed", "message"),
    [
        (["x/a.png", "y/a.png"], ["a.png"], r"'a.png' may be .*images/x/a.png or .*images/y/a.png"),
        (["a.png"], ["train/a.png", "val/a.png"], r"both 'train/a.png' and 'val/a.png' would be .*images/a.png"),
        (["a.png"], ["b.png"], r"lists none of the split's 1 images: the end of a file_name, there b.png"),
        (["a.png", "b.png"], ["a.png"], "1 image has no mask: .*b.png"),
    ],
)
def test_unclear_file_names_are_refused(opened, files, listed, message):
    with pytest.raises(UserError, match=message):
        opened(coco(files=tuple(listed)), files)


def test_images_without_a_file_and_matches_by_the_end_are_reported(opened):
    dataset = opened(coco(files=("/x/a.png", "/x/gone.png")))
    assert dataset.missing_images == ["/x/gone.png"]
    assert dataset.notes == ["1 images are matched by the end of their file_name only: /x/a.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"image_id": 0, "category_id": 9, "segmentation": [BOTTLE]}]}, "unknown label cup: known"),
        ({"annotations": [{"image_id": 0, "category_id": 1, "segmentation": [BOTTLE]}]}, "the unknown label id 1"),
        ({"annotations": [{"image_id": 0, "segments_info": []}]}, "panoptic"),
        ({"annotations": [{"image_id": 0, "category_id": 7, "keypoints": [1, 2, 2]}]}, "it holds keypoints"),
        ({"annotations": [{"image_id": 0, "category_id": 7, "bbox": [1, 2, 2, 1]}]}, "it holds boxes"),
        (
            {"annotations": [{"image_id": 0, "caption": "a bottle"}]},
            "annotation 0 has no category_id that is a number, it holds a caption",
        ),
        ({"annotations": "x"}, "`annotations` must be a list of objects"),
        ({"images": [{"id": 1}]}, "an image must have an id and a file_name, got the keys id"),
        ({"images": [{"id": 1, "file_name": n} for n in ("a.png", "b.png")]}, "two images have the id 1: a.png and b"),
        ({"images": [{"id": i, "file_name": "a.png"} for i in (0, 1)]}, "lists 2 images under 1 names"),
        ({"images": [{"id": 0, "file_name": "a.png", "width": -3, "height": 2}]}, "whole numbers above 0, got -3"),
        ({"categories": [{"id": 7}]}, "a category must have id and name"),
        ({"categories": [{"id": 7, "name": n} for n in ("bottle", "can")]}, "two categories have the id 7"),
    ],
)
def test_file_that_cannot_be_used_is_refused_by_name(opened, change, message):
    content = coco()
    content["categories"].append({"id": 9, "name": "cup"})
    with pytest.raises(UserError, match=message) as caught:
        opened(content | change)
    assert "objects.json" in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_category_shows_the_line_that_adds_it(opened):
    content = coco({"category_id": 9, "segmentation": [BOTTLE]}, categories=[{"id": 9, "name": "cup"}])
    with pytest.raises(UserError, match=r"write in dataset.yaml classes: \[background, bottle, can, cup\]$"):
        opened(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "is a list, not COCO's annotations"),
        ('[{"image_id": 1, "score": 0.3}]', "as detectors write their results"),
        ('{"shapes": []}', "is a file of labelme: write mask_kind: labelme"),
        ('{"images": [], "categories": []}', "it has no annotations"),
        ("3", "is not in COCO's format"),
        ("null", "is not in COCO's format"),
        ("[" * 100000, "not valid JSON: it is nested too deeply"),
        ('{"a": 1', "not valid JSON"),
        ("\xff", "not text in UTF-8"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path, text, message):
    write_form(tmp_path, "coco")
    (tmp_path / "objects.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message):
        open_dataset("folder", tmp_path, "all")


def test_categories_of_one_name_become_one_class(opened):
    content = coco({"category_id": 7, "segmentation": [BOTTLE]}, {"category_id": "3", "segmentation": [CAN]})
    content["categories"] = [
        {"id": 7, "name": "can", "supercategory": "tin"},
        {"id": 3, "name": "can", "supercategory": "cup"},
    ]
    dataset = opened(content)
    assert (dataset[0].labels == 2 * (expected() > 0)).all()
    assert dataset.notes == [
        "no category is called bottle",
        "several categories have one name, and become one class: can",
    ]


@pytest.mark.parametrize("size", [(5, 8), (10**9, 10**9), (2**31 - 1, 2**31 - 1)])
def test_image_of_another_size_than_stated_is_a_mismatch(opened, size):
    content = coco()
    content["images"][0] |= {"height": size[0], "width": size[1]}
    dataset = opened(content)
    with pytest.raises(UserError, match=f"a.png has 8x6 pixels, but its annotation has {size[1]}x{size[0]}: use"):
        dataset[0]
    (error,) = check_dataset("folder", dataset.root).errors
    assert f"a.png (8x6, annotation {size[1]}x{size[0]})" in error and "scale masks" not in error


def test_size_need_not_be_stated(opened):
    content = coco()
    del content["images"][0]["height"]
    assert (opened(content)[0].labels == expected()).all()


def test_class_without_a_category_is_reported(opened):
    assert opened(coco(), classes=[*CLASSES, "cup"]).notes == ["no category is called cup"]


def test_damaged_outline_is_named(opened):
    dataset = opened(coco({"segmentation": [BOTTLE]}, {"segmentation": [["x", 1, 2, 3, 4, 5]], "id": 77}))
    with pytest.raises(UserError, match="objects.json, a.png: annotation 77: a polygon must be a list of numbers"):
        dataset[0]
