"""Which files belong together: by name however it is written, by lists, by shares; and what is told about the rest."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.errors import UserError
from fanet.segmentation.data import FolderDataset
from fanet.segmentation.data.check import check_dataset
from fanet.segmentation.data.splitting import deal

from ...platforms import links

MASK = np.array([[0, 1], [1, 0]], dtype=np.uint8)
PLAIN = {"images": "images", "masks": "masks"}


def write(root: Path, *files: str) -> Path:
    """Write images below `images` or any other folder, and masks below folders that begin with `m`."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".txt", ".db", ".xml"):
            path.write_text("no image")
        else:
            picture = Image.fromarray(MASK) if file.startswith("m") else Image.new("RGB", (2, 2))
            picture.save(path, {".jpg": "JPEG", ".tif": "TIFF"}.get(path.suffix.lower(), "PNG"))
    return root


def opened(root: Path, split: str = "train", strict: bool = True, **splits: dict) -> FolderDataset:
    config = {"classes": ["background", "dog"], "splits": splits or {"train": PLAIN}}
    (root / "dataset.yaml").write_text(yaml.safe_dump(config))
    return FolderDataset(root, split, strict)


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Grüße_é") for form in ("NFC", "NFD"))

PAIRED = {
    "one decomposed": (
        [f"images/{DECOMPOSED}.jpg", f"masks/{COMPOSED}.png"],
        PLAIN,
        [COMPOSED],
    ),
    "decomposed in a pattern": (
        [f"images/{COMPOSED}.jpg", f"masks/{DECOMPOSED}_m.png"],
        {"images": "images/*.jpg", "masks": "masks/{name}_m.png"},
        [COMPOSED],
    ),
    "decomposed folder": (
        [f"images/{DECOMPOSED}/a.jpg", f"masks/{COMPOSED}/a.png"],
        {"images": f"images/{COMPOSED}", "masks": f"masks/{DECOMPOSED}"},
        ["a"],
    ),
    "brackets in folders": (
        ["run [1]/a.jpg", "masks [1-2]*/a.png"],
        {"images": "run [1]", "masks": "masks [1-2]*/{name}.png"},
        ["a"],
    ),
    "brackets in folders before a pattern": (
        ["run [1]/x/a.jpg", "masks/x/a.png"],
        {"images": "run [1]/*/*.jpg", "masks": "masks/**/*.png"},
        ["x/a"],
    ),
    "suffixes in capitals": (
        ["images/a.JPG", "images/b.jpg", "masks/a.PNG", "masks/b.png"],
        {"images": "images/*.jpg", "masks": "masks/{name}.png"},
        ["a", "b"],
    ),
    "names with a part around them": (
        ["left/aachen/aachen_01_left.png", "left/bonn/bonn_02_left.png", "mgt/aachen/aachen_01_gt.png"]
        + ["mgt/bonn/bonn_02_gt.png", "mgt/bonn/bonn_02_colour.png"],
        {"images": "left/{name}_left.png", "masks": "mgt/{name}_gt.png"},
        ["aachen/aachen_01", "bonn/bonn_02"],
    ),
    "name twice in a pattern": (
        ["images/a.jpg", "masks/a/a.png", "masks/b/a.png"],
        {"images": "images", "masks": "masks/{name}/{name}.png"},
        ["a"],
    ),
    "masks of any suffix": (
        ["images/a.1.jpg", "images/b.jpg", "masks/a.1_m.png", "masks/b_m.tif"],
        {"images": "images", "masks": "masks/{name}_m.*"},
        ["a.1", "b"],
    ),
    "paths as Windows writes them": (
        ["images/new/a.jpg", "masks/new/a.png"],
        {"images": r"images\new", "masks": r"masks\new"},
        ["a"],
    ),
}


@pytest.mark.parametrize(("files", "split", "names"), PAIRED.values(), ids=PAIRED)
def test_images_find_their_masks(tmp_path, files, split, names):
    dataset = opened(write(tmp_path, *files), train=split)
    assert dataset.names == names and not dataset.remarks()
    assert all((sample.labels == MASK).all() for sample in dataset)


@links
def test_links_to_folders_are_followed_and_loops_are_told(tmp_path):
    write(tmp_path, "store/a.jpg", "mstore/a.png", "images/here/b.jpg", "masks/here/b.png")
    for kind, store in (("images", "store"), ("masks", "mstore")):
        (tmp_path / kind / "linked").symlink_to(tmp_path / store, target_is_directory=True)
    (tmp_path / "images" / "here" / "again").symlink_to(tmp_path / "images", target_is_directory=True)
    (tmp_path / "images" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    dataset = opened(tmp_path, train={"images": "images/**/*", "masks": "masks/{name}.png"})
    assert dataset.names == ["here/b", "linked/a"]
    text = "\n".join(dataset.notes)
    assert "1 file left out (linked to a folder around it): here/again" in text
    assert "1 file left out (linked to nothing): gone.jpg" in text


def test_whatever_is_left_out_of_a_folder_is_counted(tmp_path):
    write(tmp_path, "images/a.jpg", "images/._a.jpg", "images/Thumbs.db", "images/x/b.jpg", "images/x/y/c.jpg")
    write(tmp_path, "masks/a.png", "masks/d.png", "masks/read me.txt")
    dataset = opened(tmp_path)
    assert dataset.names == ["a"]
    assert dataset.remarks() == [
        'images: 2 images in subfolders of images left out: the pattern "images/**/*" takes them',
        "images: 1 file left out (no images): Thumbs.db",
        "images: 1 file left out (hidden): ._a.jpg",
        "masks: 1 file left out (no images): read me.txt",
        f"1 masks without an image left out: {tmp_path / 'masks' / 'd.png'}",
    ]
    assert [f"train: {line}" for line in dataset.notes] == check_dataset("folder", tmp_path, workers=1).warnings[:4]


REFUSED = {
    "images of one stem": (
        ["images/a.jpg", "images/a.png", "masks/a.png"],
        PLAIN,
        ("images/a.jpg and ", "images/a.png would both be called a", "write images: images/*.jpg"),
    ),
    "two masks for an image": (
        ["images/a.jpg", "masks/a.png", "masks/a.tif"],
        PLAIN,
        ("masks/a.png and ", "masks/a.tif would both be called a", "masks: masks/{name}.png"),
    ),
    "two masks in a pattern": (
        ["images/a.jpg", "masks/a.PNG", "masks/a.png"],
        {"images": "images", "masks": "masks/{name}.png"},
        ("masks/a.PNG and ", "masks/a.png would both"),
    ),
    "two masks but for case": (
        ["images/a.jpg", "masks/a.png", "masks/A.PNG"],
        PLAIN,
        ("masks/a.png and ", "masks/A.PNG differ in upper and lower case only", "a.jpg"),
    ),
    "masks with an ending": (
        ["images/a.jpg", "images/b.jpg", "masks/a_mask.png", "masks/b_mask.png"],
        PLAIN,
        ("2 images have no mask", "looked for masks/a.png", "did you mean masks: masks/{name}_mask.png?"),
    ),
    "masks with a beginning": (
        ["images/1.jpg", "images/2.jpg", "masks/gt_1.tif", "masks/gt_2.tif"],
        PLAIN,
        ("did you mean masks: masks/gt_{name}.tif?",),
    ),
    "masks with an ending in folders": (
        ["images/x/a.jpg", "images/y/b.jpg", "masks/x/a-label.png", "masks/y/b-label.png"],
        {"images": "images/**/*.jpg", "masks": "masks/**/*.png"},
        ("did you mean masks: masks/{name}-label.png?",),
    ),
    "both with an ending": (
        ["images/img_001.jpg", "images/img_002.jpg", "masks/seg_001.png", "masks/seg_002.png"],
        {"images": "images", "masks": "masks/{name}.png"},
        ("did you mean images: images/img_{name}.jpg, masks: masks/seg_{name}.png?",),
    ),
    "capitals": (
        ["images/IMG.jpg", "masks/img.png"],
        PLAIN,
        ("IMG.jpg", "masks/img.png differs from it in upper and lower case only"),
    ),
    "only subfolders": (
        ["images/x/a.jpg", "masks/x/a.png"],
        PLAIN,
        ("train of", "has no images", '1 image in subfolders of images left out: the pattern "images/**/*"'),
    ),
    "missing folder": (
        ["images/a.jpg", "masks/a.png"],
        {"images": "imagse", "masks": "masks"},
        ("there is no folder", "imagse", "the folders in", "images, masks"),
    ),
    "file as folder": (
        ["images/a.jpg", "masks/a.png"],
        {"images": "images/a.jpg", "masks": "masks"},
        ("images/a.jpg is a file, but", "a folder or a pattern"),
    ),
    "unknown key": (["images/a.jpg", "masks/a.png"], PLAIN | {"lists": "x"}, ("the keys images and masks", "list")),
}


@pytest.mark.parametrize(("files", "split", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_paired_is_refused_with_a_line_that_mends_it(tmp_path, files, split, parts):
    with pytest.raises(UserError) as caught:
        opened(write(tmp_path, *files), train=split)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_masks_beside_images_are_not_images(tmp_path):
    write(tmp_path, "mixed/a.png", "mixed/a_mask.png", "mixed/b.png", "mixed/b_mask.png")
    dataset = opened(tmp_path, train={"images": "mixed", "masks": "mixed/{name}_mask.png"})
    assert dataset.names == ["a", "b"] and "images: 2 files left out (masks): " in dataset.notes[0]
    with pytest.raises(UserError, match="a.png is an image and its own mask"):
        opened(tmp_path, train={"images": "mixed", "masks": "mixed"})


def test_suggested_patterns_pair_the_files(tmp_path):
    write(tmp_path, *(f"images/img_{i:03}.jpg" for i in range(12)), *(f"masks/seg_{i:03}.png" for i in range(12)))
    with pytest.raises(UserError, match=r"images: images/img_\{name\}\.jpg, masks: masks/seg_\{name\}\.png"):
        opened(tmp_path)
    assert len(opened(tmp_path, train={"images": "images/img_{name}.jpg", "masks": "masks/seg_{name}.png"})) == 12


def test_check_says_how_to_pair_as_opening_does(tmp_path):
    opened(write(tmp_path, "images/a.jpg", "masks/a.png"))
    write(tmp_path, "images/b.jpg", "masks/b_gt.png")
    (line,) = check_dataset("folder", tmp_path, workers=1).errors
    assert line.startswith("1 images without a mask: train: ")
    assert line.endswith("looked for masks/b.png; did you mean masks: masks/{name}_gt.png?")


def test_names_that_are_no_utf8_are_read_and_printed(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    dataset = opened(write(tmp_path, f"images/{name}.jpg", f"masks/{name}.png", "images/b.jpg"), strict=False)
    assert dataset.names == [name] and (dataset[0].labels == MASK).all()
    (tmp_path / "masks" / f"{name}.png").unlink()
    with pytest.raises(UserError) as caught:
        opened(tmp_path)
    assert r"caf\xe9.jpg" in str(caught.value)
    str(caught.value).encode()


LISTS = {
    "names": "a\nc\n",
    "suffixes": "a.jpg\nc.jpg\n",
    "suffixes of masks": "a.png\nc.png\n",
    "folders": "images/a\nimages/c.jpg\n",
    "paths from above": "/data/somewhere/images/a.jpg\n./images/c.jpg\n",
    "Windows": "\ufeffimages\\a.jpg\r\n\r\nc.jpg\r\n",
    "comments and blank lines": "# train\n\n  a  \n\tc\n",
    "pairs": "images/a.jpg masks/a.png\nimages/c.jpg\tmasks/c.png\n",
    "pairs with commas": "a.jpg,a.png\nc.jpg, c.png",
    "quotes": "\"a.jpg\"\n'c.jpg'\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_list_names_the_images_of_a_split(tmp_path, text, encoding):
    write(
        tmp_path,
        *(f"{folder}.{end}" for name in "abc" for folder, end in ((f"images/{name}", "jpg"), (f"masks/{name}", "png"))),
    )
    (tmp_path / "train.txt").write_bytes(text.lstrip("\ufeff" if encoding == "utf-16" else "").encode(encoding))
    dataset = opened(tmp_path, train=PLAIN | {"list": "train.txt"})
    assert dataset.names == ["a", "c"] and not dataset.remarks(), "what the list leaves out is meant to be"


def test_oddities_of_a_list_are_told(tmp_path):
    write(tmp_path, "images/a b.jpg", "masks/a b.png", "images/c.jpg", "masks/c.png", "images/d.jpg")
    (tmp_path / "val.txt").write_text("a b\nc  -1\nc  1\n")
    dataset = opened(tmp_path, train=PLAIN | {"list": "val.txt"})
    assert dataset.names == ["a b", "c"], "a name may have spaces; an image outside the list needs no mask"
    text = "\n".join(dataset.notes)
    assert "names 1 images more than once: c" in text and "has numbers beside 2 names, which are not used" in text


def test_folders_tell_equal_names_in_a_list_apart(tmp_path):
    write(tmp_path, "images/x/1.jpg", "images/y/1.jpg", "masks/x/1.png", "masks/y/1.png")
    split = {"images": "images/**/*.jpg", "masks": "masks/{name}.png", "list": "train.txt"}
    (tmp_path / "train.txt").write_text("y/1\n")
    assert opened(tmp_path, train=split).names == ["y/1"]
    (tmp_path / "train.txt").write_text("1.jpg\n")
    with pytest.raises(UserError, match=r"names 1.jpg, which may be .*x/1.jpg or .*y/1.jpg: write it with its folder"):
        opened(tmp_path, train=split)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nnope\nb.jpg\nzz/a\n", "names 3 of no image: nope, b.jpg, zz/a: no image that `images` in "),
        ("\n# nothing\n", "names no images: write one name a line"),
        ("a.jpg masks/other.png", "pairs .*images/a.jpg with masks/other.png, but `masks: masks` in .* with "),
        ("a.jpg a.png 3", "names 1 of no image: a.jpg a.png 3"),
        (None, "there is no file .*train.txt, which `list` in dataset.yaml names"),
    ],
)
def test_list_that_fits_no_images_is_refused(tmp_path, text, message):
    write(tmp_path, "images/a.jpg", "masks/a.png", "masks/other.png")
    if text is not None:
        (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        opened(tmp_path, train=PLAIN | {"list": "train.txt"})


def test_shares_are_the_same_for_the_same_names_and_leave_none_over():
    names = [f"{i:02}" for i in range(50)]
    shares = {"val": (0.2, 7), "test": (0.1, 7)}
    dealt = deal(names, shares, "train")
    assert {split: len(of) for split, of in dealt.items()} == {"val": 10, "test": 5, "train": 35}
    assert sorted(name for of in dealt.values() for name in of) == names
    assert deal(names[::-1], shares, "train") == dealt
    assert deal(names, {"val": (0.2, 8)}, "train")["val"] != dealt["val"]
    assert dealt["val"] not in (names[:10], names[-10:])


def test_share_is_split_off_from_another_split(tmp_path):
    write(tmp_path, *(f"images/{i}.jpg" for i in range(10)), *(f"masks/{i}.png" for i in range(10)))
    splits = {"train": PLAIN, "val": {"from": "train", "share": 0.3, "seed": 1}}
    train, val = (opened(tmp_path, split, **splits) for split in splits)
    assert len(val) == 3 and sorted([*train.names, *val.names]) == [str(i) for i in range(10)]
    assert not train.remarks() and not val.remarks(), "masks of the other split are not masks without an image"
    assert not check_dataset("folder", tmp_path, workers=1).errors


def test_what_is_left_out_of_a_folder_of_two_splits_is_told_once(tmp_path):
    write(tmp_path, *(f"images/{i}.jpg" for i in range(4)), *(f"masks/{i}.png" for i in range(4)), "images/x.db")
    opened(tmp_path, train=PLAIN, val={"from": "train", "share": 0.5})
    warnings = check_dataset("folder", tmp_path, workers=1).warnings
    assert [line for line in warnings if "left out" in line] == [
        "train and val: images: 1 file left out (no images): x.db"
    ]


@pytest.mark.parametrize(
    ("val", "message"),
    [
        ({"from": "train"}, "must have the keys from and share"),
        ({"from": "train", "share": 1}, "a share above 0 and below 1, such as 0.2, got 1"),
        ({"from": "train", "share": "20 %"}, "a share above 0 and below 1"),
        ({"from": "test", "share": 0.5}, "is a share of test, which is not a split with images of its own"),
        ({"from": "val", "share": 0.5}, "is a share of val, which is not a split with images"),
        ({"from": "train", "share": 0.5, "seed": -1}, "a whole number from 0 as its seed, got -1"),
        ({"from": "train", "share": 0.5}, "the 1 images of the split train are too few"),
    ],
)
def test_share_that_cannot_be_split_off_is_refused(tmp_path, val, message):
    write(tmp_path, "images/a.jpg", "masks/a.png")
    with pytest.raises(UserError, match=message):
        opened(tmp_path, train=PLAIN, val=val)


def test_shares_of_more_than_there_is_are_refused(tmp_path):
    shares = {name: {"from": "train", "share": 0.5} for name in ("val", "test")}
    with pytest.raises(UserError, match="shares of 1 are split off from train, which leaves it no images"):
        opened(write(tmp_path, "images/a.jpg", "masks/a.png"), train=PLAIN, **shares)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["pictures/a.jpg", "masks/a.png"], {"train": {"images": "pictures", "masks": "masks"}}),
        (
            ["JPEGImages/x/a.jpg", "mSegmentationClass/x/a.png", "gt/x/a.png"],
            {"x": {"images": "JPEGImages/x", "masks": "gt/x"}},
        ),
        (["a.jpg"], {"train": {"images": "images", "masks": "masks"}}),
    ],
)
def test_missing_description_shows_one_to_copy_that_fits_the_folder(tmp_path, files, expected):
    with pytest.raises(UserError, match="says where images and masks are") as caught:
        FolderDataset(write(tmp_path, *files), "train")
    config = yaml.safe_load(str(caught.value).split("masks are: ")[1])
    assert expected.items() <= config["splits"].items() and len(config["classes"]) == 2
    assert "\n" not in str(caught.value)
