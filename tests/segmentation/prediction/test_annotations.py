"""Annotations from predictions come back, through the readers of data sets, as the label maps that were predicted."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.media.images import write_png
from fanet.scenes import scene
from fanet.segmentation.data import open_dataset
from fanet.segmentation.prediction.annotations import check_stems, write_annotations
from fanet.segmentation.prediction.extras import Extras
from fanet.segmentation.prediction.objects import find_objects

FORMS = ["coco", "yolo", "labelme"]
#: The background in the middle, so that ids cannot be class indices.
CLASSES = ClassScheme(("bottle", "background", "can", "film"))
IMAGES = ("a.png", "day 1/b.png")

#: By form: `annotations` of a split, and what else `dataset.yaml` needs.
PLACES: dict[str, tuple[str, dict[str, str]]] = {
    "coco": ("out/coco.json", {}),
    "yolo": ("out/yolo/labels/train", {"names_file": "out/yolo/data.yaml"}),
    "labelme": ("out/labelme", {}),
}


def noise(index: int) -> np.ndarray:
    """A label map of patches in all classes, with holes, islands in them and regions that touch at corners."""
    patches = np.random.default_rng(index).integers(0, 4, (12, 17), dtype=np.uint8)
    return patches.repeat(3, axis=0).repeat(2, axis=1)


def predicted(root: Path, form: str, maps: list[np.ndarray], tolerance: float, classes: ClassScheme) -> list[Path]:
    images = [root / "images" / name for name in IMAGES]
    with write_annotations(form, root / "out", classes, tolerance) as annotations:
        for path, name, labels in zip(images, IMAGES, maps, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, np.zeros((*labels.shape, 3), np.uint8))
            objects = find_objects(labels, classes, np.full(labels.shape, 0.75, np.float32))
            annotations.add(path, Path(name).with_suffix(""), labels.shape, objects)
    return images


@pytest.fixture
def round_trip(tmp_path: Path) -> Callable[..., list[np.ndarray]]:
    def run(form: str, maps: list[np.ndarray], tolerance: float = 0, classes: ClassScheme = CLASSES):
        predicted(tmp_path, form, maps, tolerance, classes)
        place, keys = PLACES[form]
        split = {"images": "images/**/*.png", "annotations": place}
        content = {"classes": list(classes.names), "mask_kind": form, "splits": {"all": split}} | keys
        (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(content))
        dataset = open_dataset("folder", tmp_path, "all")
        assert not [note for note in dataset.notes if "left out" in note or "cut" in note]
        return [dataset[index].labels for index in range(len(dataset))]

    return run


@pytest.mark.parametrize("form", FORMS)
def test_label_maps_come_back_exactly(form: str, round_trip: Callable[..., list[np.ndarray]]) -> None:
    maps = [noise(0), noise(1)]
    for found, expected in zip(round_trip(form, maps), maps, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("form", FORMS)
def test_with_a_tolerance_only_pixels_at_borders_differ(form: str, round_trip: Callable[..., list[np.ndarray]]) -> None:
    classes = ClassScheme(("background", "rigid_plastic", "cardboard", "metal", "soft_plastic"))
    maps = [scene(0, index, 128)[1] for index in range(2)]
    for found, expected in zip(round_trip(form, maps, 1.0, classes), maps, strict=True):
        padded = np.pad(expected, 1, mode="edge")
        near = np.stack([padded[y : y + 128, x : x + 128] for y in range(3) for x in range(3)])
        assert (found != expected)[(near == expected).all(axis=0)].mean() < 0.005
        assert (found == expected).mean() > 0.96


@pytest.mark.parametrize("form", FORMS)
def test_image_without_objects_has_annotations_too(form: str, round_trip: Callable[..., list[np.ndarray]]) -> None:
    maps = [np.ones((6, 8), np.uint8), noise(1)]
    np.testing.assert_array_equal(round_trip(form, maps)[0], maps[0])


def test_coco_has_the_keys_that_tools_read(tmp_path: Path) -> None:
    maps = [noise(0), noise(1)]
    predicted(tmp_path, "coco", maps, 0, CLASSES)
    content = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "bottle"}, {"id": 2, "name": "can"}, {"id": 3, "name": "film"}]
    assert content["images"][1] == {"id": 2, "file_name": "day 1/b.png", "height": 36, "width": 34}
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = np.array(annotation["segmentation"][0]).reshape(-1, 2)
        assert corners.min(axis=0).tolist() == [x, y] and corners.max(axis=0).tolist() == [x + width, y + height]
        assert annotation["iscrowd"] == 0 and annotation["score"] == 0.75
    bottles = [each["area"] for each in content["annotations"] if (each["category_id"], each["image_id"]) == (1, 1)]
    assert sum(bottles) == (maps[0] == 0).sum()


def test_yolo_has_the_folders_and_lists_of_ultralytics(tmp_path: Path) -> None:
    predicted(tmp_path, "yolo", [noise(0), noise(1)], 0, CLASSES)
    folder = tmp_path / "out" / "yolo"
    assert yaml.safe_load((folder / "data.yaml").read_text()) == {
        "train": "train.txt",
        "names": {0: "bottle", 1: "can", 2: "film"},
    }
    assert (folder / "train.txt").read_text().splitlines() == ["./images/train/a.png", "./images/train/day 1/b.png"]
    assert (folder / "labels" / "train" / "day 1" / "b.txt").is_file()


def test_labelme_file_leads_to_its_image(tmp_path: Path) -> None:
    images = predicted(tmp_path, "labelme", [noise(0), noise(1)], 0, CLASSES)
    file = tmp_path / "out" / "labelme" / "day 1" / "b.json"
    content = json.loads(file.read_text())
    assert (file.parent / content["imagePath"]).resolve() == images[1].resolve()
    assert (content["imageHeight"], content["imageWidth"], content["imageData"]) == (36, 34, None)
    assert {shape["shape_type"] for shape in content["shapes"]} == {"polygon"}


@pytest.mark.parametrize("form", ["coco", "yolo"])
def test_what_is_of_all_images_is_missing_if_one_fails(form: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_annotations(form, tmp_path / "out", CLASSES) as annotations:
        annotations.add(Path("a.png"), Path("a"), (36, 34), find_objects(noise(0), CLASSES))
        raise KeyboardInterrupt
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "a.txt"]


def test_images_that_differ_in_their_suffix_only_are_refused_for_yolo() -> None:
    pairs = [(Path("in/rgb.jpg"), Path("rgb.jpg")), (Path("in/rgb.png"), Path("rgb.png"))]
    with pytest.raises(UserError, match=r"^in/rgb\.jpg and in/rgb\.png differ in their suffix only, .*: rename one,"):
        check_stems(("coco", "yolo"), pairs)
    check_stems(("coco", "labelme"), pairs)
    others = [(Path("in/rgb.png.jpg"), Path("rgb.png")), (Path("in/rgb.png"), Path("rgb"))]
    check_stems(("yolo",), [*others, (Path("in/day/rgb.png"), Path("day/rgb"))])


def test_a_format_given_twice_is_written_once() -> None:
    assert Extras(annotations=("coco", "yolo", "coco")).annotations == ("coco", "yolo")
