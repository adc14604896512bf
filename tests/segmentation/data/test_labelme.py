import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from fanet.errors import UserError
from fanet.segmentation.data import open_dataset
from fanet.segmentation.data.check import check_dataset

from .forms import BOTTLE, CAN, CLASSES, HEIGHT, WIDTH, describe, expected, labelme, pairs, png, write_form, write_image


@pytest.fixture
def opened(tmp_path):
    """A function that opens a data set of one image with the given shapes."""

    def open_with(*shapes, classes=("background", "bottle", "can"), **keys):
        write_image(tmp_path / "images" / "a.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / "a.json").write_text(json.dumps(labelme(*shapes, **keys)))
        return open_dataset("folder", describe(tmp_path, "labelme", "labels", classes=list(classes)), "all")

    return open_with


BOX = np.zeros((HEIGHT, WIDTH), bool)
BOX[1:4, 1:6] = True


@pytest.mark.parametrize(
    "shape",
    [
        {"points": pairs(BOTTLE)},
        {"points": pairs(BOTTLE), "shape_type": None},
        {"points": [[1, 1], [6, 4]], "shape_type": "rectangle"},
        {"points": [[6, 4], [1, 1]], "shape_type": "rectangle"},
        {"points": pairs(BOTTLE), "shape_type": "rectangle"},
        {"points": pairs(BOTTLE), "shape_type": "rotation"},
        {"points": [[1, 1], [5, 3]], "shape_type": "mask", "mask": png(np.ones((3, 5), bool))},
        {"points": [[1, 1], [5, 3]], "shape_type": "mask", "mask": png(np.full((3, 5), 255, np.uint8))},
        {"points": [[0, 0], [7, 5]], "shape_type": "mask", "mask": png(BOX)},
        {"points": [[-2, -1], [5, 3]], "shape_type": "mask", "mask": png(np.pad(BOX[:4, :6], ((1, 0), (2, 0))))},
    ],
)
def test_every_shape_with_an_area_is_drawn(opened, shape):
    dataset = opened(shape, classes=["background", "bottle"])
    assert (dataset[0].labels == BOX).all() and not dataset.notes


def test_circle_holds_the_pixels_within_its_radius(opened):
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    dataset = opened({"points": [[4, 3], [4, 5.2]], "shape_type": "circle"})
    assert (dataset[0].labels == (np.hypot(y - 3, x - 4) <= 2.2)).all()
    far = opened({"points": [[4, -900], [4, 2]], "shape_type": "circle"})
    assert (far[0].labels == (y <= 2)).all()


def test_later_shapes_cover_earlier_ones_and_marks_are_special(opened):
    shapes = [
        {"points": pairs(BOTTLE)},
        {"label": "can", "points": pairs(CAN)},
        {"label": "_background_", "points": [[1, 1], [2, 2]], "shape_type": "rectangle"},
        {"label": "__ignore__", "points": [[7, 4], [8, 5]], "shape_type": "rectangle"},
    ]
    labels = expected()
    labels[1, 1], labels[4, 7] = 0, 255
    assert (opened(*shapes)[0].labels == labels).all()


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_shapes_without_an_area_are_left_out_and_counted(opened, kind):
    flat = {"label": "anything", "points": [[1, 1], [2, 2], [3, 3]], "shape_type": kind}
    few = {"points": [[1, 1], [2, 2]]}
    outside = {"points": [[9, 1], [12, 1], [12, 5]]}
    tiny = {"points": [[1.7, 1.7], [1.8, 1.7]], "shape_type": "circle"}
    far = {"points": [[90, 90], [91, 90]], "shape_type": "circle"}
    dataset = opened(
        {"points": pairs(BOTTLE)}, {"label": "can", "points": pairs(CAN)}, flat, flat, few, outside, far, tiny
    )
    assert (dataset[0].labels == expected()).all()
    assert [note.partition(" (/")[0] for note in dataset.notes] == [
        f"left out: 2 shapes without an area ({kind})",
        "left out: 1 shape of too few points (polygon)",
        "left out: 2 shapes outside its image",
        "left out: 1 shape too small to cover a pixel",
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": [[1, 1], [2]]}, "a.json, shape 0: a polygon must be a list of numbers"),
        ({"points": [[1, 1], [2, "x"], [3, 3]]}, "shape 0: a polygon must be"),
        ({"points": [[1, 1], [2, 1e300], [3, 3]]}, "points must be in pixels, got 1e"),
        ({"label": 3, "points": pairs(CAN)}, "shape 0: its label must be text, got 3"),
        ({"label": None, "points": pairs(CAN)}, "shape 0: its label must be text"),
        ({"label": " ", "points": pairs(CAN)}, "shape 0: its label must be text"),
        ({"points": pairs(CAN), "shape_type": "blob"}, "the shape_type blob is not known"),
        ({"points": [[1, 1], [5, 3]], "shape_type": "mask"}, "not a PNG in base64"),
        ({"points": [[1, 1], [5, 3]], "shape_type": "mask", "mask": "*"}, "not a PNG in base64"),
        ({"points": [[1, 1], [5, 3]], "shape_type": "mask", "mask": "aaaa"}, "the mask is not an image"),
        (
            {"points": [[1, 1], [5, 3]], "shape_type": "mask", "mask": png(np.ones((6, 8), bool))},
            "its mask has 8x6 pixels, which its points or the image do not fit",
        ),
    ],
)
def test_malformed_shape_is_named(opened, shape, message):
    dataset = opened(shape)
    with pytest.raises(UserError, match=message):
        dataset[0]
    assert check_dataset("folder", dataset.root).errors[0].startswith("1 files that cannot be read: ")


def test_unknown_labels_are_refused_with_the_line_that_adds_them(opened):
    with pytest.raises(UserError, match=r"the unknown label cup: .* classes: \[background, bottle, can, cup"):
        opened({"label": "cup", "points": pairs(CAN)})


def test_image_of_another_size_than_stated_is_a_mismatch(opened):
    dataset = opened(imageHeight=10**9, imageWidth=10**9)
    with pytest.raises(UserError, match="a.png has 8x6 pixels, but its annotation has 1000000000x1000000000: use"):
        dataset[0]
    for height in (None, "6", 6.0):
        assert (opened(imageHeight=height)[0].labels == expected()).all()
    with pytest.raises(UserError, match="must be whole numbers above 0, got -3 and 8"):
        opened(imageHeight=-3)[0]


@pytest.mark.parametrize("place", ["images", "images/{name}.json"])
def test_files_may_be_beside_the_images(tmp_path, place):
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "a.json").write_text(json.dumps(labelme()))
    assert (open_dataset("folder", describe(tmp_path, "labelme", place), "all")[0].labels == expected()).all()


@pytest.mark.parametrize(
    ("shapes", "keys", "note"),
    [
        ([{"points": pairs(BOTTLE)}], {"imagePath": "..\\b.jpg"}, "matched by its own name: 1 file with another"),
        ([{"points": [[1, 1], [2, 2]]}], {}, "taken as background only: 1 image without shapes ("),
        ([{"points": [[1, 1], [50, 1], [9, 9]]}], {}, "cut at the border: 1 shape reaching beyond the image ("),
    ],
)
def test_oddities_of_a_file_are_told(opened, shapes, keys, note):
    assert any(line.startswith(note) for line in opened(*shapes, **keys).notes)
    assert not opened({"points": pairs(BOTTLE)}, imagePath="C:\\photos\\a.tif", classes=CLASSES[:2]).notes


def test_file_of_another_name_belongs_to_its_image_path(tmp_path):
    write_form(tmp_path, "labelme")
    (tmp_path / "labels" / "a.json").rename(tmp_path / "labels" / "task_17.json")
    dataset = open_dataset("folder", tmp_path, "all")
    assert (dataset[0].labels == expected()).all() and not dataset.missing_images
    (tmp_path / "labels" / "task_18.json").write_text(json.dumps(labelme()))
    with pytest.raises(UserError, match="task_17.json and .*task_18.json both have the imagePath a.png"):
        open_dataset("folder", tmp_path, "all")


def test_image_without_a_file_is_refused_and_other_json_is_reported(tmp_path):
    write_form(tmp_path, "labelme")
    (tmp_path / "labels" / "index.json").write_text('{"images": []}')
    assert open_dataset("folder", tmp_path, "all").missing_images == [str(tmp_path / "labels" / "index.json")]
    write_image(tmp_path / "images" / "c.png")
    with pytest.raises(UserError, match="1 image has no mask: .*c.png"):
        open_dataset("folder", tmp_path, "all")


def test_mask_that_claims_to_be_huge_is_never_decoded(opened):
    buffer = io.BytesIO()
    Image.new("1", (12000, 12000)).save(buffer, "PNG")
    mask = base64.b64encode(buffer.getvalue()).decode()
    dataset = opened({"points": [[0, 0], [11999, 11999]], "shape_type": "mask", "mask": mask})
    with pytest.raises(UserError, match="its mask has 12000x12000 pixels"):
        dataset[0]
