"""What values and colours of mask files mean: read without loss, mapped as dataset.yaml says, or refused by name."""

import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.errors import UserError
from fanet.media.label_maps import read_values
from fanet.segmentation.data import FolderDataset, UnknownLabelError
from fanet.segmentation.data.check import CheckReport, check_dataset

INDICES = np.array([[0, 1, 2, 0], [2, 2, 1, 1], [0, 0, 0, 1]], dtype=np.uint8)
SKY, TREE, ROAD = (0, 0, 0), (255, 255, 255), (30, 60, 90)
COLOURS = np.array([SKY, TREE, ROAD], dtype=np.uint8)


def png(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def data_set(root: Path, mask: Callable[[Path], object] | np.ndarray, suffix: str = ".png", **keys: object) -> Path:
    """Write a data set of one image, with a mask that is given as an array or as a function that writes the file."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    file = root / "masks" / f"a{suffix}"
    Image.fromarray(mask).save(file) if isinstance(mask, np.ndarray) else mask(file)
    size = (4, 3)
    if suffix == ".png" and isinstance(mask, np.ndarray):
        size = mask.shape[1::-1]
    Image.new("RGB", size).save(root / "images" / "a.jpg")
    config = {"classes": ["sky", "tree", "road"], "splits": {"train": {"images": "images", "masks": "masks"}}} | keys
    (root / "dataset.yaml").write_text(yaml.safe_dump(config))
    return root


def labels_of(root: Path) -> np.ndarray:
    return FolderDataset(root, "train")[0].labels


def with_palette(path: Path, **how: object) -> None:
    image = Image.frombytes("P", (4, 3), INDICES.tobytes())
    image.putpalette([9, 9, 9, 200, 0, 0, 9, 9, 9])  # two entries of one colour: only the index counts
    image.save(path, **how)


LOSSLESS = {
    "two bits": (".png", lambda path: path.write_bytes(png(4, 3, 2, 0, b"\0\x18\0\xa5\0\x01"))),
    "four bits": (".png", lambda path: path.write_bytes(png(4, 3, 4, 0, b"\0\x01\x20\0\x22\x11\0\0\1"))),
    "sixteen bits": (".png", lambda path: Image.fromarray(INDICES.astype(np.uint16)).save(path)),
    "thirty-two bits": (".tif", lambda path: Image.fromarray(INDICES.astype(np.int32)).save(path)),
    "whole floats": (".tiff", lambda path: Image.fromarray(INDICES.astype(np.float32)).save(path)),
    "palette of two bits": (".png", lambda path: with_palette(path, bits=2)),
    "palette with a transparent entry": (".png", lambda path: with_palette(path, transparency=1)),
    "palette of a GIF": (".gif", with_palette),
    "three equal channels": (".png", lambda path: Image.fromarray(INDICES).convert("RGB").save(path)),
    "four channels": (".png", lambda path: Image.fromarray(INDICES).convert("RGBA").save(path)),
    "grey with alpha": (".png", lambda path: Image.fromarray(INDICES).convert("LA").save(path)),
    "WebP without loss": (".webp", lambda path: Image.fromarray(INDICES).save(path, lossless=True)),
    "array": (".npy", lambda path: np.save(path, INDICES)),
    "array of int64": (".npy", lambda path: np.save(path, INDICES.astype(np.int64))),
}


@pytest.mark.parametrize(("suffix", "write"), LOSSLESS.values(), ids=LOSSLESS)
def test_indices_are_read_as_stored_from_any_file_without_loss(tmp_path, suffix, write):
    pixels = read_values(write_file(tmp_path / f"a{suffix}", write)).pixels
    assert (pixels == INDICES).all() and pixels.flags.writeable  # as PyTorch wants it


def write_file(path: Path, write: Callable[[Path], object]) -> Path:
    write(path)
    return path


def test_one_bit_is_zero_and_one(tmp_path):
    for suffix in (".png", ".tif", ".bmp"):
        mask = INDICES > 0
        root = data_set(tmp_path / suffix[1:], lambda path, mask=mask: Image.fromarray(mask).save(path), suffix)
        assert (labels_of(root) == mask).all(), suffix


def pages(path: Path) -> None:
    Image.fromarray(INDICES).save(path, save_all=True, append_images=[Image.fromarray(INDICES)] * 2)


def several_arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=INDICES, b=INDICES)


# The header of an array of 10 GB, without its values.
LYING = b"\x93NUMPY\1\0v\0" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999, 99999)}".ljust(118)

REFUSED = {
    "JPEG": (".jpg", lambda path: Image.fromarray(INDICES).save(path), "compressed with loss (JPEG)"),
    "JPEG inside a TIFF": (".tif", lambda path: Image.fromarray(INDICES).save(path, compression="jpeg"), "with loss"),
    "WebP with loss": (".webp", lambda path: Image.fromarray(INDICES).save(path), "compressed with loss (WEBP)"),
    "fractions": (".tif", lambda path: Image.fromarray(INDICES / np.float32(2)).save(path), "holds fractions"),
    "pages": (".tif", pages, "has 3 pages"),
    "colours": (".png", lambda path: Image.fromarray(COLOURS[INDICES]).save(path), "holds colours: set mask_kind"),
    "bands of 16 bits": (".png", lambda path: path.write_bytes(png(1, 1, 16, 2, bytes(7))), "channels of 16 bits"),
    "scores": (".npy", lambda path: np.save(path, np.zeros((3, 4, 7))), "its shape is (3, 4, 7)"),
    "several arrays": (".npy", several_arrays, "holds several arrays"),
    "objects": (".npy", lambda path: np.save(path, np.array([[{}]])), "not an array that NumPy saved"),
    "a header that lies": (".npy", lambda path: path.write_bytes(LYING), "not an array that NumPy saved"),
    "text": (".npy", lambda path: np.save(path, np.array([["x"]])), "holds <U1, not class indices"),
}


@pytest.mark.parametrize(("suffix", "write", "message"), REFUSED.values(), ids=REFUSED)
def test_mask_that_holds_no_indices_is_refused_by_name(tmp_path, suffix, write, message):
    root = data_set(tmp_path, write, suffix)
    with pytest.raises(UserError) as caught:
        labels_of(root)
    assert message in str(caught.value) and f"masks/a{suffix}" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "stored", "expected"),
    [
        ({"ignore_index": 0}, [0, 1, 2, 3], [255, 0, 1, 2]),
        ({"ignore_index": 1}, [0, 1, 2, 3], [0, 255, 1, 2]),
        ({"ignore_index": 3}, [0, 1, 2, 3], [0, 1, 2, 3]),
        ({"ignore_index": 77}, [0, 1, 2, 77], [0, 1, 2, 77]),
        ({"values": {0: 0, 128: 1, 255: 2}}, [0, 128, 255, 0], [0, 1, 2, 0]),
        ({"values": {255: "tree", 0: "sky", 128: "ignore"}}, [0, 128, 255, 0], [0, 255, 1, 0]),
        ({"values": {7: 0, 11: 2, 26: 2, 0: "ignore"}}, [7, 11, 26, 0], [0, 2, 2, 255]),
        ({"values": {7: "road"}, "ignore_index": 0}, [7, 0, 7, 0], [2, 255, 2, 255]),
        ({"values": {0: 0, 1000: 1, 65535: 2}}, [0, 1000, 65535, 0], [0, 1, 2, 0]),
        ({"values": {-1: "ignore", 26001: 1, 70000: 0}}, [-1, 26001, 70000, 70000], [255, 1, 0, 0]),
    ],
)
def test_values_mean_what_the_description_says(tmp_path, keys, stored, expected):
    values = np.array([stored])
    root = data_set(tmp_path, lambda path: np.save(path, values), ".npy", **keys)
    dataset = FolderDataset(root, "train")
    assert dataset.load_labels(0).tolist() == [expected] and dataset.load_labels(0).dtype == np.uint8
    assert dataset.classes.ignore_index not in range(3)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"values": [0, 1]}, "values must say which class each number in the masks is"),
        ({"values": {}}, "values must say which class"),
        ({"values": {"0": 1}}, "values has the key '0', but must have whole numbers"),
        ({"values": {True: 1}}, "values has the key True"),
        ({"values": {0: 3}}, "values maps 0 to 3, but must map it to a class, by its name or as 0 to 2, or to ignore"),
        ({"values": {0: "lake"}}, "values maps 0 to 'lake'"),
        ({"values": {0: "ignore"}}, "no label is left"),
        ({"values": {0: 1}, "mask_kind": "coco"}, "values is for mask_kind: index, but this one is coco"),
        ({"ignore_colour": [1, 2, 3]}, "ignore_colour is for mask_kind: colour"),
        ({"ignore_index": -1}, "ignore_index must be a whole number from 0 to 255"),
        ({"classes": ["sky"]}, "one class, sky, .*classes: [background, sky]"),
    ],
)
def test_mistake_in_what_values_mean_is_refused(tmp_path, keys, message):
    with pytest.raises(UserError) as caught:
        FolderDataset(data_set(tmp_path, INDICES, **keys), "train")
    head, _, tail = message.partition(".*")
    assert head in str(caught.value) and tail in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "stored", "message"),
    [
        ({}, [0, 1, 9], "holds the unknown label 9: known are 0 to 2, .*write values: {0: 0, 1: 1, 9: 2}"),
        ({}, [1, 2, 3], "the unknown label 3: .*write values: {1: 0, 2: 1, 3: 2}"),
        ({}, [0, 1, 2, 3], "the unknown label 3: .*write ignore_index: 0"),
        ({}, [1, 2, 3, 255], "the unknown label 3: .*write values: {1: 0, 2: 1, 3: 2, 255: ignore}"),
        ({"classes": ["bg", "x"]}, [0, 128, 255], "label 128: .*write values: {0: 0, 128: ignore, 255: 1}"),
        ({}, list(range(9)), "unknown labels 3, 4, 5 and 3 more: .*say by `values`"),
        ({"ignore_index": 0}, [0, 1, 255], "the unknown label 255: known are 0, 1, 2 and 1 more"),
        ({"values": {0: 0, 1: 1}}, [0, 1, 255], "the unknown label 255: known are 0, 1; say by `values`"),
    ],
)
def test_unknown_value_is_refused_with_a_line_that_mends_it(tmp_path, keys, stored, message):
    dataset = FolderDataset(data_set(tmp_path, np.array([stored], np.uint8), **keys), "train")
    with pytest.raises(UnknownLabelError) as caught:
        dataset.load_labels(0)
    head, _, tail = message.partition(".*")
    assert head in str(caught.value) and tail in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.seen) == (str(caught.value), tuple(stored))


def checked(root: Path) -> CheckReport:
    return check_dataset("folder", root, workers=1)


@pytest.mark.parametrize(
    ("classes", "stored", "message"),
    [
        (["bg", "dog"], [0, 255], "only bg is labelled, and 255 is read as ignored: .*values: {0: 0, 255: 1}"),
        (["bg", "dog"], [1, 255], "only dog is labelled, and 255 is read as ignored: .*values: {1: 0, 255: 1}"),
        (["bg", "dog"], [255], "no pixel is labelled, and 255 is read as ignored"),
        (["bg", "dog"], [1], "only dog is labelled, so there is nothing to tell apart"),
        (["bg", "dog"], [0, 7], "1 masks with unknown labels: .*write values: {0: 0, 7: 1}"),
        (["a", "b", "c"], [0, 128, 255], "1 masks with unknown labels: .*write values: {0: 0, 128: 1, 255: 2}"),
    ],
)
def test_check_refuses_a_set_whose_classes_vanish_and_says_how_to_mend_it(tmp_path, classes, stored, message):
    (line,) = checked(data_set(tmp_path, np.array([stored] * 2, np.uint8), classes=classes)).errors
    head, _, tail = message.partition(".*")
    assert head in line and tail in line


def test_the_line_that_mends_a_set_makes_it_pass(tmp_path):
    mask = np.array([[0, 255, 255]], np.uint8)
    assert checked(data_set(tmp_path, mask, classes=["bg", "dog"])).errors
    report = checked(data_set(tmp_path, mask, classes=["bg", "dog"], values={0: 0, 255: 1}))
    assert not report.errors and report.splits["train"].class_shares == pytest.approx({"bg": 100 / 3, "dog": 200 / 3})


@pytest.mark.parametrize(("keys", "is_told"), [({}, True), ({"ignore_index": 255}, False)])
def test_class_that_may_be_hidden_in_the_ignored_value_is_told(tmp_path, keys, is_told):
    report = checked(data_set(tmp_path, np.array([[0, 1, 255]], np.uint8), **keys))
    told = [line for line in report.warnings if "255 is read as ignored, while road never occurs" in line]
    assert not report.errors and len(told) == is_told


def test_split_to_train_on_needs_two_classes_and_others_do_not(tmp_path):
    splits = {name: {"images": f"images/{name}", "masks": f"masks/{name}"} for name in ("train", "test")}
    for bare in splits:
        root = tmp_path / bare
        for name in splits:
            (root / "images" / name).mkdir(parents=True)
            (root / "masks" / name).mkdir(parents=True)
            Image.new("RGB", (4, 3)).save(root / "images" / name / "a.png")
            Image.fromarray(INDICES * (name != bare)).save(root / "masks" / name / "a.png")
        (root / "dataset.yaml").write_text(yaml.safe_dump({"classes": ["sky", "tree", "road"], "splits": splits}))
        report, is_train = checked(root), bare == "train"
        assert len(report.errors) == is_train and all("train: only sky is labelled" in line for line in report.errors)
        assert ("test: only sky is labelled, so it gets no score" in report.warnings) != is_train


@pytest.mark.parametrize(
    ("masks", "count"),
    [
        ([[0, 1], [0, 255]], 1),
        ([[0, 1], [0, 255], [0, 0], [0, 255]], 2),
        ([[0, 1, 255], [0, 255]], 0),  # 255 is around objects
        ([[0, 1], [1, 255]], 0),
        ([[0, 1], [0, 2]], 0),
    ],
)
def test_masks_of_0_and_255_among_others_are_told(tmp_path, masks, count):
    data_set(tmp_path, np.array([masks[0]], np.uint8), classes=["sky", "tree", "road"])
    for number, values in enumerate(masks[1:]):
        Image.new("RGB", (len(values), 1)).save(tmp_path / "images" / f"more{number}.png")
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "masks" / f"more{number}.png")
    told = [line for line in checked(tmp_path).warnings if "masks hold only 0 and 255" in line]
    assert [int(line.split()[0]) for line in told] == [count] * (count > 0)


def test_colour_that_is_no_class_is_refused_with_the_line_to_write(tmp_path):
    line = checked(data_set(tmp_path, np.full((3, 4, 3), 7, np.uint8), **PALETTE)).errors[0]
    assert "(#070707); known are #" in line and "ignore_colour: [7, 7, 7]" in line


def rgba(indices: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([COLOURS[indices], alpha.astype(np.uint8)])


def keyed(path: Path) -> None:
    """Write colours of which one, the tree's white, is transparent."""
    Image.fromarray(COLOURS[INDICES]).save(path, transparency=TREE)


PALETTE = {"palette": [list(SKY), list(TREE), list(ROAD)], "mask_kind": "colour"}
TRANSPARENT = {
    "half transparent": (rgba(INDICES, np.full(INDICES.shape, 128)), {}, None),
    "all transparent": (rgba(INDICES, np.zeros(INDICES.shape)), {}, None),
    "one class transparent": (rgba(INDICES, 255 * (INDICES > 0)), {}, None),
    "colour key": (keyed, {}, None),
    "palette": (lambda path: Image.fromarray(COLOURS[INDICES]).quantize(3).save(path, transparency=0), {}, None),
    "white where erased": (rgba(INDICES, 255 * (np.arange(12).reshape(3, 4) > 2)), {}, "transparent pixels are sky"),
    "background where erased": (
        rgba(INDICES * (np.arange(12).reshape(3, 4) > 2), 255 * (np.arange(12).reshape(3, 4) > 2)),
        {"classes": ["background", "tree", "road"]},
        None,
    ),
    "of no class, and some opaque": (
        np.dstack([np.full((3, 4, 3), 7, np.uint8), np.eye(3, 4, dtype=np.uint8)]),
        {},
        "known are #000000, #ffffff, #1e3c5a; put it into the palette",
    ),
    "of no class": (
        np.dstack([np.full((3, 4, 3), 7, np.uint8), np.zeros((3, 4), np.uint8)]),
        {},
        "unknown label #070707: .*only transparent pixels have it.*write ignore_colour: [7, 7, 7]",
    ),
}


@pytest.mark.parametrize(("mask", "keys", "message"), TRANSPARENT.values(), ids=TRANSPARENT)
def test_transparent_pixels_have_their_stored_colour_or_are_refused(tmp_path, mask, keys, message):
    root = data_set(tmp_path, mask, **PALETTE | keys)
    if message is None:
        erased = "classes" in keys
        assert (labels_of(root) == (INDICES * (np.arange(12).reshape(3, 4) > 2) if erased else INDICES)).all()
        return
    with pytest.raises(UserError) as caught:
        labels_of(root)
    assert all(part in str(caught.value) for part in message.split(".*"))


def test_colours_compressed_with_loss_are_refused_for_that_reason(tmp_path):
    root = data_set(tmp_path, lambda path: Image.fromarray(COLOURS[INDICES]).save(path), ".jpg", **PALETTE)
    (line,) = checked(root).errors
    assert line.startswith("1 files that cannot be read: ") and "compressed with loss (JPEG)" in line


def test_orientation_of_a_mask_is_applied_and_told(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = data_set(tmp_path, lambda path: Image.fromarray(INDICES).save(path, exif=exif))
    with pytest.raises(UserError, match=r"images/a.jpg has 4x3 pixels, but its mask .*/masks/a.png has 3x4: scale"):
        labels_of(root)
    Image.new("RGB", (4, 3)).save(root / "images" / "a.jpg", exif=exif)
    report = checked(root)
    assert not report.errors and (labels_of(root) == np.rot90(INDICES, -1)).all()
    assert report.splits["train"].turned_masks == [str(root / "masks" / "a.png")]
    assert not report.splits["train"].turned_images, "both are rotated alike"
    assert any("1 masks are rotated by their own EXIF orientation" in line for line in report.warnings)


def test_mask_of_the_upright_photo_needs_no_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    root = data_set(tmp_path, INDICES)
    Image.new("RGB", (3, 4)).save(root / "images" / "a.jpg", exif=exif)
    assert (labels_of(root) == INDICES).all()


def test_inverted_grey_values_are_refused():
    contents = io.BytesIO()
    Image.fromarray(INDICES).save(contents, "TIFF", tiffinfo={262: 0})
    with pytest.raises(UserError, match="WhiteIsZero"):
        read_values(contents.getvalue(), "a.tif")
