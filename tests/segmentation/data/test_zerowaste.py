import hashlib
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.errors import UserError
from fanet.media.images import read_image, read_labels
from fanet.segmentation.data import UnknownLabelError, ZeroWaste, list_splits, open_dataset
from fanet.segmentation.data import storage as storage_module
from fanet.segmentation.data.storage import verify_archive

from ...platforms import posix

LAYOUT = "splits_final_deblurred"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two splits of tiny frames."""
    rng = np.random.default_rng(0)
    for split, count in (("test", 3), ("train", 2)):
        for kind, values, shape in (("data", 256, (6, 8, 3)), ("sem_seg", 5, (6, 8))):
            folder = tmp_path / "set" / LAYOUT / split / kind
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(rng.integers(values, size=shape, dtype=np.uint8)).save(folder / f"{index}.PNG", "PNG")
    return tmp_path / "set"


def archive_of(root: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*.PNG")):
            archive.write(file, prefix + file.relative_to(root).as_posix())
        archive.writestr(f"__MACOSX/{LAYOUT}/test/data/._0.PNG", b"what a Mac adds")
    return path


def test_frames_are_those_of_their_split(belt):
    dataset = open_dataset("zerowaste", belt, "test")
    assert dataset.names == ["clip_00.PNG", "test_01.PNG"]
    sample = dataset[0]
    assert sample.image.shape == (1080, 1920, 3) and sample.labels.shape == (1080, 1920)
    other = open_dataset("zerowaste", belt, "train")[0]
    assert other.name == sample.name and (other.image != sample.image).any()
    assert list_splits("zerowaste", belt) == ["train", "val", "test"]


@pytest.mark.parametrize("below", ["", LAYOUT])
def test_folder_is_found_from_above_and_below(small, below):
    assert len(ZeroWaste(small / below, "test")) == 3
    assert len(ZeroWaste(small.parent, "test")) == 3


@pytest.mark.parametrize("prefix", ["", "zerowaste-f-final/"])
def test_archive_holds_the_samples_of_the_folder(small, tmp_path, prefix):
    archive = archive_of(small, tmp_path / "set.zip", prefix)
    assert list_splits("zerowaste", archive, verify=False) == ["train", "test"]
    zipped, unpacked = ZeroWaste(archive, "test", verify=False), ZeroWaste(small, "test")
    assert zipped.names == unpacked.names
    for one, other in zip(zipped, unpacked, strict=True):
        assert (one.image == other.image).all() and (one.labels == other.labels).all()


@posix
def test_opened_archive_can_be_pickled_and_forked(small, tmp_path):
    dataset = ZeroWaste(archive_of(small, tmp_path / "set.zip"), "test", verify=False)
    first = dataset[0]
    assert (pickle.loads(pickle.dumps(dataset))[0].image == first.image).all()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # a data loader's worker: the parent's handle must not be used in it
        try:
            before = dataset.storage._handle
            same = (dataset[0].image == first.image).all() and dataset.storage._handle is not before
            os.write(write, b"1" if same else b"0")
        finally:
            os._exit(0)  # or it would go on as a second pytest
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    assert (dataset[2].labels == ZeroWaste(small, "test")[2].labels).all()


@posix
def test_data_loader_reads_the_archive_in_order(small, tmp_path):
    dataset = ZeroWaste(archive_of(small, tmp_path / "set.zip"), "test", verify=False)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context="fork", collate_fn=lambda sample: sample.name
    )
    assert list(loader) == dataset.names


def test_unknown_labels_are_named_with_file_and_value(small):
    file = small / LAYOUT / "test" / "sem_seg" / "1.PNG"
    labels = read_labels(file)
    labels[0, :2] = (7, 255)
    Image.fromarray(labels).save(file, "PNG")
    with pytest.raises(UnknownLabelError, match=r"test/sem_seg/1\.PNG holds the unknown label 7: .*255") as caught:
        ZeroWaste(small, "test")[1]
    assert caught.value.values == ("7",)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.file, again.values) == (str(caught.value), caught.value.file, caught.value.values)


def test_ignored_pixels_are_accepted(small):
    file = small / LAYOUT / "test" / "sem_seg" / "1.PNG"
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(file, "PNG")
    assert (ZeroWaste(small, "test")[1].labels == 255).all()


def test_mask_of_another_size_is_refused(small):
    Image.new("L", (3, 4)).save(small / LAYOUT / "test" / "sem_seg" / "1.PNG", "PNG")
    with pytest.raises(UserError, match=r"1\.PNG has 8x6 pixels, but its mask has 3x4"):
        ZeroWaste(small, "test")[1]


def test_images_without_mask_are_refused_or_listed(small):
    (small / LAYOUT / "test" / "sem_seg" / "1.PNG").unlink()
    with pytest.raises(UserError, match=r"1 image has no mask: .*1\.PNG"):
        ZeroWaste(small, "test")
    dataset = ZeroWaste(small, "test", strict=False)
    assert dataset.names == ["0.PNG", "2.PNG"] and dataset.missing_masks == [f"{LAYOUT}/test/data/1.PNG"]


def test_damage_in_an_archive_is_reported(small, tmp_path):
    archive = archive_of(small, tmp_path / "set.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(f"{LAYOUT}/test/data/1.PNG")
    content[info.header_offset + 30 + len(info.filename) + 60] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"set\.zip/.*1\.PNG is damaged"):
        ZeroWaste(archive, "test", verify=False)[1]


def test_archive_other_than_the_published_one_is_refused(small, tmp_path):
    archive = archive_of(small, tmp_path / "set.zip")
    with pytest.raises(
        UserError, match="bytes, the published archive 7518242799: .*--any-archive.*train_kwargs.verify"
    ):
        open_dataset("zerowaste", archive, "test")
    size = archive.stat().st_size
    with pytest.raises(UserError, match="has the md5 .*, the published archive 00ff: .*--any-archive"):
        verify_archive(archive, size, "00ff")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.zip"]


@pytest.mark.parametrize("name", ["zerowaste-f-final.zip", "nowhere"])
def test_missing_data_set_is_reported_with_where_to_get_it(tmp_path, name):
    what = "file" if name.endswith(".zip") else "folder"
    with pytest.raises(UserError, match=rf"no {what} .*{name}: download .* from zenodo.*6412647.*--data.*data\.root"):
        open_dataset("zerowaste", tmp_path / name, "train")
    with pytest.raises(UserError, match=rf"no {what} .*{name}: say where .*data\.root") as caught:
        open_dataset("clutter", tmp_path / name, "train")
    assert "zenodo" not in str(caught.value), "scenes are not to be had there"


def test_verified_archive_is_read_again_only_if_it_changed(tmp_path, monkeypatch, capsys):
    archive = tmp_path / "set.zip"
    archive.write_bytes(b"waste")
    md5 = hashlib.md5(b"waste").hexdigest()
    verify_archive(archive, 5, md5)
    assert "verifying set.zip" in capsys.readouterr().err, "the progress bar"
    note = json.loads((tmp_path / "set.zip.verified.json").read_text())
    assert note["md5"] == md5 and note["size"] == 5

    monkeypatch.setattr(storage_module, "_verified", set())  # as in a new process
    with monkeypatch.context() as patch:
        patch.setattr(storage_module, "_digest", lambda *_: pytest.fail("read again"))
        verify_archive(archive, 5, md5)
    archive.write_bytes(b"taste")
    os.utime(archive, ns=(1, 1))
    with pytest.raises(UserError, match="md5"):
        verify_archive(archive, 5, md5)


def test_bytes_are_read_like_the_files(small):
    image, mask = (small / LAYOUT / "test" / kind / "0.PNG" for kind in ("data", "sem_seg"))
    assert (read_image(image.read_bytes()) == read_image(image)).all()
    assert (read_labels(mask.read_bytes()) == read_labels(mask)).all()
    with pytest.raises(UserError, match="^frame 7 is empty"):
        read_image(b"", "frame 7")
    with pytest.raises(UserError, match="^mask 7 is not a label map"):
        read_labels(image.read_bytes(), "mask 7")


def test_files_that_are_no_pngs_are_told(small):
    (small / LAYOUT / "test" / "data" / "3.jpg").write_bytes(b"")
    assert ZeroWaste(small, "test").remarks() == ["data: 1 files left out (no PNGs): 3.jpg"]
    assert ZeroWaste(small, "train").remarks() == []
