"""Images without labels: ZeroWaste-s as published, any folder, a split of the data set."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data import ImageFolder, open_dataset, open_unlabelled

LAYOUT = "splits_final_deblurred"


def save(path: Path, value: int, shape: tuple[int, ...] = (6, 8, 3)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path, "PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ZeroWaste-f and ZeroWaste-s side by side, and a folder with photographs in subfolders."""
    for split in ("train", "val"):
        save(tmp_path / LAYOUT / split / "data" / "1.PNG", 1)
        save(tmp_path / LAYOUT / split / "sem_seg" / "1.PNG", 1, (6, 8))
    for index in range(3):
        save(tmp_path / "zerowaste-s-parts" / "data" / f"{index}.PNG", 10 + index)
    save(tmp_path / "zerowaste-s-parts" / "labels" / "0.PNG", 0, (6, 8))
    save(tmp_path / "photos" / "one" / "a.png", 50)
    save(tmp_path / "photos" / "b.png", 60)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path


def opened(root: Path, split: str | Path):
    labelled = open_dataset("zerowaste", root, "train")
    return open_unlabelled(str(split), labelled, "zerowaste", root, {})


def test_zerowaste_s_is_read_as_published(root):
    frames = opened(root, root / "zerowaste-s-parts")
    assert frames.names == ["0.PNG", "1.PNG", "2.PNG"] and frames.classes is ZEROWASTE
    sample = frames[1]
    assert (sample.image == 11).all() and sample.labels.shape == (6, 8) and (sample.labels == 255).all()


def test_folder_may_be_named_from_the_data_set_or_the_working_directory(root, monkeypatch):
    assert len(opened(root, "zerowaste-s-parts")) == 3
    monkeypatch.chdir(root / "photos")
    assert opened(root, "one").names == ["a.png"]


def test_images_of_any_folder_are_found_with_their_subfolders(root):
    photos = opened(root, root / "photos")
    assert photos.names == ["b.png", "one/a.png"]
    assert photos.remarks() == ["1 files left out (no images): notes.txt"]


def test_split_of_the_data_set_comes_before_a_folder_of_its_name(root, monkeypatch):
    monkeypatch.chdir(root / "photos")
    save(Path("val") / "x.png", 9)
    assert opened(root, "val").names == ["1.PNG"]


def test_images_have_the_channels_of_the_labelled_ones(root):
    grey = ImageFolder(root / "photos", ClassScheme(("a", "b")), channels=1)
    assert grey[0].image.shape == (6, 8, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "new has no images: name another folder, or unpack it completely$"),
        (lambda path: path.write_bytes(b"PK"), "new is a file: unpack it .*7z x.*name the folder$"),
        (lambda path: None, "no split '.*new', only train, val, and no folder of images .*new$"),
    ],
)
def test_what_holds_no_images_is_refused_in_one_line(root, make, message):
    make(root / "new")
    with pytest.raises(UserError, match=message) as caught:
        opened(root, root / "new")
    assert "\n" not in str(caught.value)


def test_image_that_cannot_be_read_is_named(root):
    (root / "photos" / "b.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(UserError, match="b.png"):
        opened(root, root / "photos")[0]
