import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.errors import UserError
from fanet.segmentation.data import UnknownLabelError, list_splits, open_dataset
from fanet.segmentation.data.labels.polygons import polygon_mask

CLASSES = ["background", "bottle", "can"]
PALETTE = [[0, 0, 0], [230, 5, 5], [4, 200, 3]]


def write_image(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def config(root: Path, **keys: object) -> Path:
    values = {"classes": CLASSES, "splits": {"train": {"images": "images", "masks": "masks"}}} | keys
    (root / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a.1", "b"):
        write_image(tmp_path / "images" / f"{name}.jpg", rng.integers(256, size=(6, 8, 3), dtype=np.uint8))
        write_image(tmp_path / "masks" / f"{name}.png", rng.integers(3, size=(6, 8), dtype=np.uint8))
    return config(tmp_path)


def masks_of(root: Path, name: str) -> np.ndarray:
    return np.array(Image.open(root / "masks" / f"{name}.png"))


def test_images_and_masks_are_paired_by_name(root):
    dataset = open_dataset("folder", root, "train")
    assert dataset.names == ["a.1", "b"] and list_splits("folder", root) == ["train"]
    assert dataset.classes.names == tuple(CLASSES) and dataset.classes.ignore_index == 255
    sample = pickle.loads(pickle.dumps(dataset))[1]
    assert sample.image.shape == (6, 8, 3) and (sample.labels == masks_of(root, "b")).all()


def test_patterns_reach_subfolders(root):
    write_image(root / "scans" / "x" / "1.png", np.zeros((4, 4, 3), np.uint8))
    write_image(root / "scans" / "y" / "1.png", np.zeros((4, 4, 3), np.uint8))
    write_image(root / "truth" / "x" / "1_gt.png", np.ones((4, 4), np.uint8))
    write_image(root / "truth" / "y" / "1_gt.png", np.full((4, 4), 2, np.uint8))
    config(root, splits={"all": {"images": "scans/**/*.png", "masks": "truth/{name}_gt.png"}})
    dataset = open_dataset("folder", root, "all")
    assert dataset.names == ["x/1", "y/1"]
    assert [sample.labels.max() for sample in dataset] == [1, 2]


def test_colours_become_classes(root):
    colours = np.array([*PALETTE, [9, 9, 9]], dtype=np.uint8)
    labels = masks_of(root, "b")
    labels[0, 0] = 3
    for name in ("a.1", "b"):
        write_image(root / "masks" / f"{name}.png", colours[labels])
    config(root, palette=PALETTE, mask_kind="colour", ignore_colour=[9, 9, 9], ignore_index=200)
    read = open_dataset("folder", root, "train")[1].labels
    assert read[0, 0] == 200 and (read.ravel()[1:] == labels.ravel()[1:]).all()
    config(root, palette=PALETTE, mask_kind="colour")
    with pytest.raises(
        UnknownLabelError, match=r"masks/b\.png holds the unknown label #090909: known are #000000, #e6"
    ):
        open_dataset("folder", root, "train")[1]


def test_unknown_index_is_refused(root):
    write_image(root / "masks" / "b.png", np.full((6, 8), 3, np.uint8))
    with pytest.raises(UnknownLabelError, match=r"masks/b\.png holds the unknown label 3: known are 0 to 2, and 255"):
        open_dataset("folder", root, "train")[1]


SPLIT = {"images": "images", "masks": "masks"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"classes": None}, "at least `classes` and `splits`"),
        ({"splits": ["train"]}, "at least `classes` and `splits`"),
        ({"classes": []}, "list of names"),
        ({"classes": ["a", 2]}, "list of names"),
        ({"classes": ["a", "a"]}, "must differ"),
        ({"classes": [0, 1, None]}, "None is none: give every class a name"),
        ({"classes": [True, "a"]}, r"classes: \['True', 'a'\]"),
        ({"classes": ["a", " "]}, "' ' must have at least one character"),
        ({"classes": ["a", "b "]}, "no spaces at its ends"),
        ({"classes": ["a", "b\nc"]}, "no line breaks"),
        ({"classes": {1: "a", 2: "b"}}, "or have the keys 0 to 1, got 1, 2; `values` says"),
        ({"classes": {"a": 0, "b": 1}}, "got a, b"),
        ({"classes": "a, b"}, r"such as classes: \[background, object\]"),
        ({"splits": {}}, "at least `classes` and `splits`, such as {classes: "),
        ({"splits": {1: SPLIT, "1": SPLIT}}, "two splits are called '1'"),
        ({"splits": {"": SPLIT}}, "a split must have a name"),
        ({"palette": ["#00000g"] * 3}, r"or '#e60505', got '#00000g'"),
        ({"values": {0: 0, 1: 1, 2: 2}, "ignore_index": 2}, "2 is can by values, and ignored by ignore_index: 2"),
        ({"mask_kind": "colour", "palette": PALETTE, "ignore_index": 0}, "write ignore_colour: "),
        (
            {"mask_kind": "coco", "ignore_index": 2, "splits": {"train": {"images": "images", "annotations": "x"}}},
            "there are none with mask_kind: coco: remove it",
        ),
        ({"color": 1}, "unknown key 'color'"),
        ({"palette": [[0, 0, 0]]}, "3 class names, but 1 colours"),
        ({"palette": [[0, 0, 256]] * 3}, "three whole numbers"),
        ({"ignore_index": 256}, "from 0 to 255"),
        ({"ignore_index": "x"}, "from 0 to 255"),
        ({"mask_kind": "color"}, "coco, colour, index"),
        ({"mask_kind": ["index"]}, "coco, colour, index"),
        ({"palette": 3, "ignore_colour": [0, 0, 0], "mask_kind": "colour"}, "three whole numbers"),
        ({"splits": {"train": SPLIT | {"images": "images/[z-a].jpg"}}}, "is not a valid pattern"),
        ({"splits": {"train": SPLIT | {"images": "ima\0ges"}}}, "there is no folder"),
        ({"splits": {"train": SPLIT | {"images": "x" * 5000}}}, "there is no folder"),
        ({"splits": {"train": SPLIT | {"list": "a\0b"}}}, "there is no file"),
        ({"mask_kind": "colour"}, "need a palette"),
        ({"mask_kind": "colour", "palette": [[0, 0, 0]] * 3}, "share a colour"),
        ({"splits": {"train": {"images": "images"}}}, "images and masks"),
        ({"splits": {"train": SPLIT | {"images": 3}}}, "images of the split train must be a path, got 3"),
        ({"splits": {"val": SPLIT}}, r"no split 'train', only val: .*data\.train_split"),
        ({"splits": {"train": SPLIT | {"images": "photos"}}}, "there is no folder .*photos"),
        ({"splits": {"train": SPLIT | {"images": "images/*.tif"}}}, "has no images"),
        ({"splits": {"train": SPLIT | {"masks": "masks/{name}.tif"}}}, "2 images have no mask: .*a.1.jpg"),
        ({"mask_kind": "coco", "splits": {"train": {"images": "images", "annotations": "x.json"}}}, "cannot read .*x"),
    ],
)
def test_mistake_in_the_description_is_refused_in_one_line(root, keys, message):
    with pytest.raises(UserError, match=message) as caught:
        open_dataset("folder", config(root, **keys), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"classes": {2: "can", 0: "background", 1: "bottle"}}, ""),
        ({"palette": ["#000000", "#E60505", [4, 200, 3]]}, ""),
        ({"splits": None}, "splits: {x: &x {images: images, masks: masks}, train: {<<: *x, images: images}}"),
    ],
)
def test_classes_and_colours_may_be_written_in_other_ways(root, keys, text):
    file = config(root, **{"palette": PALETTE} | keys) / "dataset.yaml"
    file.write_text(file.read_text() + text)
    classes = open_dataset("folder", root, "train").classes
    assert classes.names == tuple(CLASSES) and [list(colour) for colour in classes.palette] == PALETTE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [background, cup]", r"the key classes is in line 1 and again in line \d+: keep one of them"),
        ("values: {0: 0, 1: 1, 1: 2}", r"the key 1 is in line (\d+) and again in line \1: "),
    ],
)
def test_key_that_is_written_twice_is_refused(root, text, message):
    file = root / "dataset.yaml"
    file.write_text(f"{file.read_text()}{text}\n")
    with pytest.raises(UserError, match=message):
        open_dataset("folder", root, "train")


def test_missing_or_broken_description_is_refused(root):
    for text in ("classes: [a\n", "classes: 2001-99-99\n", "classes: !!bool x\n", "[" * 5000):
        (root / "dataset.yaml").write_text(text)
        with pytest.raises(UserError, match="not valid YAML"):
            open_dataset("folder", root, "train")
    (root / "dataset.yaml").unlink()
    with pytest.raises(UserError, match="says where images and masks are"):
        open_dataset("folder", root, "train")


def test_two_images_of_one_name_are_refused(root):
    write_image(root / "images" / "b.png", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"b\.jpg and .*b\.png would both be called b"):
        open_dataset("folder", root, "train")


@pytest.fixture
def annotated(root):
    """A data set with COCO annotations, as a function that writes them with the given objects."""
    config(root, mask_kind="coco", splits={"train": {"images": "images", "annotations": "objects.json"}})

    def write(*annotations: dict) -> Path:
        content = {
            "images": [{"id": i, "file_name": n, "width": 8, "height": 6} for i, n in enumerate(("a.1.jpg", "b.jpg"))],
            "categories": [{"id": 7, "name": "can"}, {"id": 9, "name": "bottle"}, {"id": 11, "name": "unused"}],
            "annotations": list(annotations),
        }
        (root / "objects.json").write_text(json.dumps(content))
        return root

    return write


def test_polygons_are_filled_in_order(annotated):
    wide = {"image_id": 1, "category_id": 7, "segmentation": [[0, 0, 8, 0, 8, 3, 0, 3]]}
    later = {"image_id": 1, "category_id": 9, "segmentation": [[2, 1, 4, 1, 4, 5, 2, 5], [6, 4, 7, 4, 7, 5, 6, 5]]}
    expected = np.zeros((6, 8), np.uint8)
    expected[0:3] = 2
    expected[1:5, 2:4] = expected[4, 6] = 1
    dataset = open_dataset("folder", annotated(wide, later), "train")
    assert (dataset[1].labels == expected).all()
    assert not dataset[0].labels.any(), "an image without objects is background"


def test_run_lengths_run_down_the_columns(annotated):
    runs = {"image_id": 0, "category_id": 7, "segmentation": {"size": [6, 8], "counts": [7, 2, 39]}}
    labels = open_dataset("folder", annotated(runs), "train")[0].labels
    assert np.argwhere(labels == 2).tolist() == [[1, 1], [2, 1]], "they run down the columns"


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 11}, "objects.json holds the unknown label unused: known are background"),
        ({"category_id": 5}, "the unknown label id 5"),
        ({"segmentation": {"size": [6, 8], "counts": "PPYo0"}}, "run lengths for .* pixels in an image of 8x6"),
        ({"segmentation": {"size": [6, 8], "counts": "PPYo"}}, "the string of run lengths is damaged"),
        ({"segmentation": {"size": [6, 8], "counts": [3, 4]}}, "run lengths for 7 pixels in an image of 8x6"),
        ({"segmentation": [[1, 2, 3, 4]]}, "1 polygon of fewer than three corners"),
        ({"segmentation": [["a"] * 6]}, "a.1.jpg: annotation 0: a polygon must be a list of numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]], "id": 5}, "annotation 5: a polygon must be .* one has 7 numbers"),
        ({"segmentation": [], "id": 3}, r"1 object without an outline \(annotation 3\)"),
        ({"image_id": 8}, "1 object of images that .*objects.json does not list"),
    ],
)
def test_unusable_annotations_are_refused(annotated, annotation, message):
    whole = {"image_id": 0, "category_id": 7, "segmentation": [[0, 0, 8, 0, 8, 3]]} | annotation
    with pytest.raises(UserError, match=message):
        open_dataset("folder", annotated(whole), "train")[0]


def test_annotations_with_two_images_of_one_name_are_refused(annotated):
    root = annotated()
    content = json.loads((root / "objects.json").read_text())
    content["images"].append(content["images"][0] | {"id": 2})
    (root / "objects.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="objects.json lists 3 images under 2 names"):
        open_dataset("folder", root, "train")


def drawn(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=bool)
    rows, columns, inside = polygon_mask(corners.ravel().tolist(), height, width)
    mask[rows, columns] = inside
    return mask


def drawn_on_the_whole_frame(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the mask by the same rule, computed for every pixel of the image."""
    (x, y), (next_x, next_y) = corners.T, np.roll(corners, -1, axis=0).T
    centres = np.arange(height)[:, None] + 0.5
    rows, edges = np.nonzero((y <= centres) != (next_y <= centres))
    slope = (next_x - x)[edges] / (next_y - y)[edges]
    crossings = x[edges] + slope * (centres[rows, 0] - y[edges])
    flips = np.zeros((height, width + 1), dtype=np.int32)
    np.add.at(flips, (rows, np.clip(np.ceil(crossings - 0.5), 0, width).astype(np.int64)), 1)
    return np.cumsum(flips, axis=1)[:, :width] % 2 == 1


@pytest.mark.parametrize("step", [1e-9, 0.5])
def test_polygon_mask_equals_that_of_the_whole_frame(step):
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(400):
        centre, spread = rng.uniform(-30, 80, size=2), rng.uniform(0.5, 40)
        corners = np.round(rng.normal(centre, spread, size=(rng.integers(3, 9), 2)) / step) * step
        expected = drawn_on_the_whole_frame(corners, 40, 50)
        assert (drawn(corners, 40, 50) == expected).all()
        seen.append(expected.any())
    assert 0.2 < np.mean(seen) < 1, "some are outside the image"


def test_polygon_mask_is_as_small_as_the_polygon():
    rows, columns, inside = polygon_mask([900, 500, 960, 500, 960, 570, 900, 570], 1080, 1920)
    assert (rows, columns) == (slice(500, 570), slice(900, 960)) and inside.shape == (70, 60) and inside.all()


def test_polygon_covers_the_pixels_whose_centres_it_contains():
    corners = np.array([[1.2, 0.3], [18.4, 5.1], [25.0, 17.7], [9.9, 8.8], [-4.0, 14.2]])
    mask = drawn(corners, 16, 20)
    x, y = np.meshgrid(np.arange(20) + 0.5, np.arange(16) + 0.5)
    angles = np.zeros(mask.shape)  # the winding number, another rule that gives the same mask for this polygon
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        start, end = (ax - x) + 1j * (ay - y), (bx - x) + 1j * (by - y)
        angles += np.angle(end / start)
    assert (mask == (np.abs(angles) > np.pi)).all() and 0 < mask.sum() < mask.size
