"""Each layout is found, and what is written is what was there."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from fanet.errors import UserError
from fanet.segmentation.data import open_dataset
from fanet.segmentation.data.survey import survey_folder, write_new

from .photos import HEIGHT, WIDTH, labels, photo, save, words, write_pairs

NAMES = words(10)
WHITE = np.array([0, 255], np.uint8)
COLOURS = np.array([[0, 0, 0], [230, 5, 5], [4, 200, 3]], np.uint8)


def described(root: Path) -> dict:
    """Write what a survey found, and return the `dataset.yaml`."""
    survey = survey_folder(root)
    write_new(root, survey.texts())
    return yaml.safe_load((root / "dataset.yaml").read_text(encoding="utf-8"))


def samples(root: Path) -> dict[str, np.ndarray]:
    """All labels of a data set by the name of the image, which may be in one split only."""
    found: dict[str, np.ndarray] = {}
    for split in yaml.safe_load((root / "dataset.yaml").read_text(encoding="utf-8"))["splits"]:
        dataset = open_dataset("folder", root, split)
        for index, sample in enumerate(dataset):
            name = Path(dataset.pair(index)[0]).name
            assert name not in found
            found[name] = sample.labels
    return found


LAYOUTS = {
    "folders": ("images/{}.jpg", "masks/{}.png"),
    "capitals and another suffix": ("Images/{}.JPG", "Labels/{}.TIF"),
    "VOC": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
    "a suffix": ("{}.jpg", "{}_mask.png"),
    "a suffix, all PNG": ("photos/{}.png", "photos/{}_mask.png"),
    "a prefix": ("all/{}.jpg", "all/mask_{}.png"),
    "the same name": ("{}.jpg", "{}.png"),
    "the same name in a folder": ("scans/{}.jpg", "scans/{}.png"),
    "suffixes in folders": ("images/{}_rgb.jpg", "masks/{}_gt.png"),
    "names that say nothing": ("left/{}.jpg", "right/{}.png"),
    "images in the root": ("{}.jpg", "masks/{}.png"),
    "arrays": ("images/{}.png", "masks/{}.npy"),
    "short for labels": ("img/{}.jpg", "lbl/{}.png"),
    "not ASCII": ("Fotos ä/images/{}ü.jpg", "Fotos ä/masks/{}ü.png"),
    "names of characters that mean something": ("images/#{} [1].jpg", "masks/#{} [1].png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_found(tmp_path, layout):
    image, mask = LAYOUTS[layout]
    write_pairs(tmp_path, NAMES, image, mask)
    content = described(tmp_path)
    assert content["mask_kind"] == "index" and content["classes"] == ["background", "class_1", "class_2"]
    found = samples(tmp_path)
    assert len(found) == len(NAMES) and list(content["splits"]) == ["train", "val"]
    for number, name in enumerate(NAMES):
        assert (found[Path(image.format(name)).name] == labels(number)).all()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{split}/{}.jpg", "masks/{split}/{}.png"),
        ("{split}/images/{}.jpg", "{split}/masks/{}.png"),
        ("{split}/{}.jpg", "{split}annot/{}.png"),
        ("{split}/{}.jpg", "{split}_labels/{}.png"),
        ("img_dir/{split}/{}.jpg", "ann_dir/{split}/{}.png"),
        ("deep/{split}/data/{}.jpg", "deep/{split}/sem_seg/{}.png"),
    ],
)
@pytest.mark.parametrize("splits", [("train", "val", "test"), ("train", "test")])
def test_splits_in_folders_are_kept(tmp_path, image, mask, splits):
    for number, split in enumerate(splits):
        places = (place.replace("{split}", split) for place in (image, mask))
        write_pairs(tmp_path, words(40)[10 * number : 10 * number + 10], *places, first=10 * number)
    splits_found = described(tmp_path)["splits"]
    assert set(splits_found) == {"train", "val", "test"} and len(samples(tmp_path)) == 10 * len(splits)
    assert "list" not in splits_found["test"]
    test = {name.rpartition("/")[2] for name in open_dataset("folder", tmp_path, "test").names}
    assert test == set(words(40)[10 * splits.index("test") :][:10])
    assert ("list" in splits_found["train"]) == ("val" not in splits)


def test_words_for_splits_are_understood(tmp_path):
    for number, split in enumerate(("training", "valid", "testing")):
        write_pairs(
            tmp_path, words(30)[10 * number : 10 * number + 10], f"{split}/img/{{}}.jpg", f"{split}/gt/{{}}.png"
        )
    assert set(described(tmp_path)["splits"]) == {"train", "val", "test"}


def test_recordings_with_folders_of_their_own_are_found(tmp_path):
    for number in range(5):
        write_pairs(tmp_path, ["1", "2"], f"images/r{number}/{{}}.jpg", f"masks/r{number}/{{}}.png", first=2 * number)
    content = described(tmp_path)
    assert content["splits"]["train"]["images"] == "images/**/*"
    held = {name.split("/")[0] for name in open_dataset("folder", tmp_path, "val").names}
    kept = {name.split("/")[0] for name in open_dataset("folder", tmp_path, "train").names}
    assert held and len(held | kept) == 5 and not held & kept


def test_split_is_the_same_wherever_the_images_are(tmp_path):
    held = []
    for number, (image, mask) in enumerate(
        (("images/{}.jpg", "masks/{}.png"), ("{}.jpg", "{}.png"), ("a/b/{}.jpg", "{}.png"))
    ):
        root = write_pairs(tmp_path / str(number), NAMES, image, mask)
        described(root)
        held.append([Path(name).name for name in open_dataset("folder", root, "val").names])
    assert held[0] == held[1] == held[2]


def test_lists_of_voc_are_used(tmp_path):
    write_pairs(tmp_path, NAMES, "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    for seed in range(30):
        save(tmp_path / "JPEGImages" / f"unlabelled{seed}.jpg", photo(100 + seed))
    folder = tmp_path / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for split, names in (("train", NAMES[:7]), ("val", NAMES[7:])):
        (folder / f"{split}.txt").write_text("\n".join(names))
    splits = described(tmp_path)["splits"]
    assert splits["val"]["list"] == "ImageSets/Segmentation/val.txt"
    assert open_dataset("folder", tmp_path, "val").names == sorted(NAMES[7:])


def test_lists_may_call_the_same_folder_by_other_names(tmp_path):
    write_pairs(tmp_path, NAMES)
    for split, names in (("train", NAMES[:7]), ("val", NAMES[7:])):
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
    places = {"train": "images", "val": "images/*.jpg"}
    splits = {name: {"images": place, "masks": "masks", "list": f"{name}.txt"} for name, place in places.items()}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["a", "b", "c"], "splits": splits}))
    assert not open_dataset("folder", tmp_path, "train").unlisted()
    (tmp_path / "val.txt").unlink()
    assert not open_dataset("folder", tmp_path, "train").unlisted()


def test_each_image_may_have_a_folder(tmp_path):
    write_pairs(tmp_path, NAMES, "{}/image.jpg", "{}/mask.png")
    assert described(tmp_path)["splits"]["train"]["images"] == "{name}/image.jpg"
    found = {split: open_dataset("folder", tmp_path, split) for split in ("train", "val")}
    assert sum(map(len, found.values())) == 10
    for dataset in found.values():
        for name, sample in zip(dataset.names, dataset, strict=True):
            assert (sample.labels == labels(NAMES.index(name))).all()


def test_splits_may_have_numbers(tmp_path):
    for number, split in enumerate(("train2017", "val2017", "testset")):
        names = [f"{split}{name}" for name in NAMES[:4]]
        write_pairs(tmp_path, names, f"images/{split}/{{}}.jpg", f"masks/{split}/{{}}.png", first=4 * number)
    assert list(described(tmp_path)["splits"]) == ["train", "val", "test"]


def test_splits_of_masks_divide_images_that_are_in_one_folder(tmp_path):
    write_pairs(tmp_path, NAMES[:7], mask="masks/train/{}.png")
    write_pairs(tmp_path, NAMES[7:], mask="masks/val/{}.png", first=7)
    described(tmp_path)
    assert [len(open_dataset("folder", tmp_path, split)) for split in ("train", "val")] == [7, 3]
    assert (samples(tmp_path)[f"{NAMES[8]}.jpg"] == labels(8)).all()


def test_images_of_coco_that_are_missing_are_told(tmp_path):
    write_coco(tmp_path)
    next(tmp_path.glob(f"**/{NAMES[3]}.*")).unlink()
    assert any(line.startswith("1 image of ") and NAMES[3] in line for line in survey_folder(tmp_path).guesses)


def test_images_that_are_added_later_are_told(tmp_path):
    write_pairs(tmp_path, NAMES)
    described(tmp_path)
    assert not survey_folder(tmp_path).guesses and not open_dataset("folder", tmp_path, "train").unlisted()
    write_pairs(tmp_path, ["new"], first=20)
    line = "images: 1 labelled image left out, in no list (train.txt, val.txt): "
    assert open_dataset("folder", tmp_path, "val").unlisted()[0].startswith(line)
    assert survey_folder(tmp_path).guesses[0].startswith(f"train and val: {line}")
    with (tmp_path / "train.txt").open("a") as file:
        file.write("images/new.jpg\n")
    assert not survey_folder(tmp_path).guesses


def test_predictions_are_no_data(tmp_path):
    write_pairs(tmp_path, NAMES)
    for ends in ("labels", "overlay"):
        write_images(tmp_path, f"out/{{}}_{ends}.png", NAMES)
    described(tmp_path)
    assert len(samples(tmp_path)) == 10


def test_files_that_are_being_written_are_not_told(tmp_path):
    for recording in "abc":
        write_pairs(
            tmp_path,
            [f"{recording}{name}" for name in NAMES],
            f"{recording}/images/{{}}.png",
            f"{recording}/masks/{{}}.png",
        )
    assert ".tmp" not in " ".join(survey_folder(tmp_path).guesses)


def test_masks_that_count_objects_are_left_out_for_what_they_are(tmp_path):
    write_pairs(tmp_path, NAMES, "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    write_pairs(tmp_path, NAMES, "JPEGImages/{}.jpg", "SegmentationObject/{}.png")
    assert "10 label files in SegmentationObject left out: numbers of objects" in survey_folder(tmp_path).guesses


def box(left: int, top: int, right: int, bottom: int) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


BOTTLE, CAN = box(2, 3, 12, 13), box(16, 8, 30, 20)


def coco(names: list[str], **keys: object) -> str:
    outlines = [(7, BOTTLE), (3, CAN)]
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH} for i, name in enumerate(names)
            ],
            "categories": [{"id": 9, "name": "goods"}, {"id": 7, "name": "bottle"}, {"id": 3, "name": "can"}],
            "annotations": [
                {"id": 10 * i + k, "image_id": i, "category_id": k, "segmentation": [outline], "bbox": [0, 0, 1, 1]}
                for i in range(len(names))
                for k, outline in outlines
            ],
        }
        | keys
    )


def yolo(*_: object) -> str:
    return "".join(
        f"{key} {' '.join(str(v / (WIDTH, HEIGHT)[i % 2]) for i, v in enumerate(outline))}\n"
        for key, outline in enumerate((BOTTLE, CAN))
    )


def labelme(name: str) -> str:
    shapes = [
        {"label": label, "points": np.reshape(outline, (-1, 2)).tolist(), "shape_type": "polygon"}
        for label, outline in (("bottle", BOTTLE), ("can", CAN))
    ]
    return json.dumps(
        {"shapes": shapes, "imagePath": f"{name}.jpg", "imageHeight": HEIGHT, "imageWidth": WIDTH, "imageData": None}
    )


def write_images(root: Path, place: str, names: list[str], first: int = 0) -> None:
    for number, name in enumerate(names, start=first):
        save(root / place.format(name), photo(number))


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_coco(root: Path) -> None:
    write_images(root, "images/{}.jpg", NAMES)
    write_text(root / "annotations.json", coco(NAMES))


def write_coco_by_split(root: Path) -> None:
    write_images(root, "images/{}.jpg", NAMES)
    write_text(root / "annotations" / "instances_train.json", coco(NAMES[:7]))
    write_text(root / "annotations" / "instances_val.json", coco(NAMES[7:]))


def write_roboflow(root: Path) -> None:
    for split, names in (("train", NAMES[:7]), ("valid", NAMES[7:])):
        write_images(root, f"{split}/{{}}.jpg", names)
        write_text(root / split / "_annotations.coco.json", coco(names))


def write_yolo(root: Path) -> None:
    for split, names in (("train", NAMES[:7]), ("val", NAMES[7:])):
        write_images(root, f"images/{split}/{{}}.jpg", names)
        for name in names:
            write_text(root / "labels" / split / f"{name}.txt", yolo())
    write_text(root / "data.yaml", "path: .\ntrain: images/train\nnames: [bottle, can]\n")


def write_flat_yolo(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)
    for name in NAMES:
        write_text(root / f"{name}.txt", yolo())
    write_text(root / "classes.txt", "bottle\ncan\n")


def write_labelme(root: Path) -> None:
    write_images(root, "{}.jpg", NAMES)
    for name in NAMES:
        write_text(root / f"{name}.json", labelme(name))


def write_labelme_folder(root: Path) -> None:
    write_images(root, "photos/{}.jpg", NAMES)
    for name in NAMES:
        write_text(root / "json" / f"{name}.json", labelme(name))


@pytest.mark.parametrize(
    "write",
    [
        write_coco,
        write_coco_by_split,
        write_roboflow,
        write_yolo,
        write_flat_yolo,
        write_labelme,
        write_labelme_folder,
    ],
)
def test_annotations_are_found(tmp_path, write: Callable[[Path], None]):
    write(tmp_path)
    content = described(tmp_path)
    assert content["mask_kind"] == write.__name__.rpartition("_")[2].replace("split", "coco").replace(
        "roboflow", "coco"
    ).replace("folder", "labelme")
    assert sorted(content["classes"]) == ["background", "bottle", "can"]
    found = samples(tmp_path)
    assert len(found) == len(NAMES)
    for read in found.values():
        assert read[5, 5] == content["classes"].index("bottle") and read[10, 20] == content["classes"].index("can")


def test_categories_without_objects_are_left_out_and_told(tmp_path):
    write_coco(tmp_path)
    assert any("categories without objects, goods" in line for line in survey_folder(tmp_path).guesses)


def test_yolo_without_names_numbers_the_classes(tmp_path):
    write_flat_yolo(tmp_path)
    (tmp_path / "classes.txt").unlink()
    assert described(tmp_path)["classes"] == ["background", "class_1", "class_2"]


def test_a_few_images_without_masks_are_left_out_and_told(tmp_path):
    write_pairs(tmp_path, NAMES)
    (tmp_path / "masks" / f"{NAMES[3]}.png").unlink()
    survey = survey_folder(tmp_path)
    assert any("1 image without labels left out" in line and NAMES[3] in line for line in survey.guesses)
    described(tmp_path)
    assert len(samples(tmp_path)) == 9


def test_results_of_earlier_runs_are_no_data(tmp_path):
    write_pairs(tmp_path, NAMES)
    write_pairs(tmp_path / "runs" / "one", ["x", "y"])
    (tmp_path / "runs" / "one" / "log.csv").write_text("")
    described(tmp_path)
    assert len(samples(tmp_path)) == 10


def test_a_description_that_is_there_is_used(tmp_path):
    write_pairs(tmp_path, NAMES)
    described(tmp_path)
    survey = survey_folder(tmp_path)
    assert survey.texts() == {} and "is used as it is" in survey.found[0] and survey.val == "val"
    content = (tmp_path / "dataset.yaml").read_text().replace("val:", "other:")
    (tmp_path / "dataset.yaml").write_text(content)
    with pytest.raises(UserError, match=r"no split to validate on: add val: {from: train, share: 0.2}"):
        survey_folder(tmp_path)
