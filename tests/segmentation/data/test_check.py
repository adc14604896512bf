import zipfile

import numpy as np
import pytest
from PIL import Image

from fanet.errors import UserError
from fanet.segmentation.data.check import check_dataset

LAYOUT = "splits_final_deblurred"
NAMES = {"train": ("a", "b", "c"), "test": ("a", "d")}


@pytest.fixture
def root(tmp_path):
    """Two splits with one name in common."""
    rng = np.random.default_rng(0)
    for split, names in NAMES.items():
        for kind, values, shape in (("data", 256, (6, 8, 3)), ("sem_seg", 5, (6, 8))):
            for name in names:
                write(tmp_path, split, kind, name, rng.integers(values, size=shape, dtype=np.uint8))
    return tmp_path


def write(root, split, kind, name, array):
    folder = root / LAYOUT / split / kind
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(folder / f"{name}.PNG", "PNG")


def test_report_matches_the_files(root):
    labels = np.zeros((6, 8), np.uint8)
    labels[0], labels[1] = 255, 3
    for name in NAMES["test"]:
        write(root, "test", "sem_seg", name, labels)
    report = check_dataset("clutter", root)
    part = report.splits["test"]
    assert list(report.splits) == ["train", "test"] and part.images == 2 and part.sizes == {"8x6": 2}
    assert part.class_shares == pytest.approx(
        {"background": 80, "rigid_plastic": 0, "cardboard": 0, "metal": 20, "soft_plastic": 0}
    )
    assert part.images_with_class["metal"] == 2 and part.images_with_class["cardboard"] == 0
    assert part.ignored_share == pytest.approx(100 / 6)
    assert "test: no pixel is rigid_plastic or cardboard or soft_plastic" in report.warnings
    assert not report.errors


def test_names_and_images_in_several_splits_are_reported(root):
    report = check_dataset("clutter", root)
    assert report.repeated_names == [{"name": "a.PNG", "splits": ["train", "test"], "same_pixels": False}]
    assert report.repeated_images == []
    shared = np.full((6, 8, 3), 9, np.uint8)
    for split, name in (("train", "a"), ("test", "a"), ("train", "c")):
        write(root, split, "data", name, shared)
    report = check_dataset("clutter", root)
    assert report.repeated_names == [{"name": "a.PNG", "splits": ["train", "test"], "same_pixels": True}]
    assert report.repeated_images == [["train/a.PNG", "train/c.PNG", "test/a.PNG"]]
    assert not report.errors, "a warning, not an error"


def test_problems_are_reported_and_do_not_stop_the_check(root):
    folder = root / LAYOUT / "train"
    (folder / "data" / "a.PNG").write_bytes(b"not an image")
    write(root, "train", "sem_seg", "b", np.full((6, 8), 9))
    write(root, "train", "sem_seg", "c", np.zeros((5, 8)))
    write(root, "train", "data", "lonely", np.zeros((6, 8, 3)))
    write(root, "test", "sem_seg", "orphan", np.zeros((6, 8)))
    (root / LAYOUT / "test" / "sem_seg" / "d.PNG").write_bytes(b"")
    report = check_dataset("clutter", root)
    missing, broken, unknown, sizes = report.errors
    assert missing.startswith("1 images without a mask: train: ") and missing.endswith("data/lonely.PNG")
    assert broken.startswith("2 files that cannot be read: train: ") and "test/sem_seg/d.PNG is empty" in broken
    assert unknown.startswith("1 masks with unknown labels: ") and "sem_seg/b.PNG (9); known are 0 to 4" in unknown
    assert sizes.startswith("1 images of another size than their mask: train: c.PNG (8x6, mask 8x5); scale masks to")
    assert any("masks without an image" in line and "orphan.PNG" in line for line in report.warnings)
    assert report.repeated_names[0]["same_pixels"] is False, "one of the two was never read"


def test_counts_and_lists_are_compared_with_the_published_ones(root):
    (root / LAYOUT / "train" / "labels.json").write_text('{"images": [{"file_name": "a.PNG"}, {"file_name": "z.PNG"}]}')
    (root / LAYOUT / "test" / "labels.json").write_text("{}")
    text = "\n".join(check_dataset("zerowaste", root).warnings)
    assert "train: 3 images, but ZeroWaste-f has 3002" in text and "test: 2 images, but ZeroWaste-f has 929" in text
    assert "train: 1 images of labels.json have no file: z.PNG" in text
    assert "train: 2 images are not in labels.json: b.PNG, c.PNG" in text
    assert "labels.json does not list images" in text


def test_two_processes_find_the_same_as_one_in_an_archive(root, tmp_path):
    (root / LAYOUT / "train" / "data" / "b.PNG").write_bytes(b"")
    write(root, "test", "sem_seg", "d", np.full((6, 8), 77))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in root.rglob("*.PNG"):
            archive.write(file, file.relative_to(root).as_posix())
    alone, shared = (
        check_dataset("zerowaste", tmp_path / "set.zip", workers=workers, verify=False).to_dict() for workers in (1, 2)
    )
    assert alone == shared and len(alone["errors"]) == 2


def test_image_turned_by_its_exif_orientation_is_reported(root):
    exif = Image.Exif()
    for name, orientation in (("a", 3), ("b", 1), ("c", 6)):
        exif[0x0112] = orientation
        Image.new("RGB", (8, 6)).save(root / LAYOUT / "train" / "data" / f"{name}.PNG", "PNG", exif=exif)
    report = check_dataset("clutter", root)
    a, c = (str(root / LAYOUT / "train" / "data" / f"{name}.PNG") for name in "ac")
    assert report.splits["train"].turned_images == [a, c] and not report.splits["test"].turned_images
    line = f"train: 2 images are rotated by their EXIF orientation, their masks are not: {a}, {c}"
    assert line in report.warnings
    (error,) = report.errors
    assert error.startswith(
        "1 images of another size than their mask: train: c.PNG (6x8, mask 8x6); the image is shown"
    )


def test_turned_photo_of_a_folder_data_set_is_reported(tmp_path):
    text = "classes: [a, b]\nsplits: {all: {images: images, masks: masks}}\n"
    (tmp_path / "dataset.yaml").write_text(text)
    for kind, mode, suffix in (("images", "RGB", "jpg"), ("masks", "L", "png")):
        (tmp_path / kind).mkdir()
        for name, orientation in (("plain", 1), ("turned", 3)):
            exif = Image.Exif()
            exif[0x0112] = orientation
            how = {"exif": exif} if mode == "RGB" else {}
            drawn = Image.new(mode, (8, 6))
            drawn.paste(1 if mode == "L" else (1, 1, 1), (0, 0, 4, 6))
            drawn.save(tmp_path / kind / f"{name}.{suffix}", **how)
    report = check_dataset("folder", tmp_path)
    assert report.splits["all"].turned_images == [str(tmp_path / "images" / "turned.jpg")] and not report.errors


def test_missing_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no splits_final_deblurred"):
        check_dataset("zerowaste", tmp_path)
    (tmp_path / "zerowaste-f-final.zip").write_bytes(b"")
    with pytest.raises(UserError, match=r"name .*zerowaste-f-final\.zip itself"):
        check_dataset("zerowaste", tmp_path)
