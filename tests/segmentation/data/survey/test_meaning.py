"""What numbers, colours and names mean: the classes of a data set."""

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.segmentation.data.survey import survey_folder
from fanet.segmentation.data.survey.names import find_names
from fanet.segmentation.data.survey.tree import read_tree

from .photos import HEIGHT, WIDTH, labels, save, write_pairs
from .test_survey import COLOURS, NAMES, WHITE, described, samples, write_images, write_text


def test_masks_of_two_values_are_background_and_object(tmp_path):
    write_pairs(tmp_path, NAMES, classes=2, change=lambda found: WHITE[found])
    content = described(tmp_path)
    assert content["classes"] == ["background", "object"] and content["values"] == {0: 0, 255: 1}
    assert (samples(tmp_path)[f"{NAMES[0]}.jpg"] == labels(0, 2)).all()


def test_colours_are_found_and_their_names_read(tmp_path):
    write_pairs(tmp_path, NAMES, change=lambda found: COLOURS[found])
    survey = survey_folder(tmp_path)
    assert survey.plan.meaning.kind == "colour" and "class_2 #e60505" in " ".join(survey.guesses)
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nfloor,0,0,0\nbottle,230,5,5\ncan,4,200,3\n")
    content = described(tmp_path)
    assert content["classes"] == ["floor", "bottle", "can"] and content["mask_kind"] == "colour"
    assert (samples(tmp_path)[f"{NAMES[0]}.jpg"] == labels(0)).all()


@pytest.mark.parametrize(
    "text",
    [
        "id,name,r,g,b\n0,type 0,0,0,0\n1,type 1,230,5,5\n2,type 2,4,200,3\n",
        "name,id,red,green,blue\ntype 2,2,4,200,3\ntype 0,0,0,0,0\ntype 1,1,230,5,5\n",
        "r,g,b,id,name\n0,0,0,0,type 0\n230,5,5,1,type 1\n4,200,3,2,type 2\n",
        "type 0,0,0,0\ntype 1,230,5,5\ntype 2,4,200,3\n",
        "0;type 0;0;0;0\n1;type 1;230;5;5\n2;type 2;4;200;3\n",
        "name,colour\ntype 0,#000000\ntype 1,#e60505\ntype 2,#04C803\n",
        "#000000,type 0\n#e60505,type 1\n#04c803,type 2\n",
        "0 0 0\ttype 0\n230 5 5\ttype 1\n4 200 3\ttype 2\n",
        'color,name\n"0,0,0",type 0\n"(230, 5, 5)",type 1\n"rgb(4, 200, 3)",type 2\n',
        "name,category,r,g,b\ntype 0,things,0,0,0\ntype 1,things,230,5,5\ntype 2,stuff,4,200,3\n,,,,\n",
        "Klasse,Rot,Gruen,Blau\ntype 0,0,0,0\ntype 1,230,5,5\ntype 2,4,200,3\n",
    ],
)
def test_tables_of_colours_are_read_by_their_columns(tmp_path, text):
    write_pairs(tmp_path, NAMES, change=lambda found: COLOURS[found])
    (tmp_path / "class_dict.csv").write_text(text)
    assert described(tmp_path)["classes"] == ["type 0", "type 1", "type 2"]
    assert (samples(tmp_path)[f"{NAMES[0]}.jpg"] == labels(0)).all()


def test_colours_count_where_each_mask_has_a_palette_of_its_own(tmp_path):
    write_pairs(tmp_path, NAMES)
    for number, name in enumerate(NAMES):
        order = np.roll(np.arange(3), number)
        mask = Image.fromarray(order[labels(number)].astype(np.uint8))
        mask.putpalette(COLOURS[np.argsort(order)].tobytes())
        mask.save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nfloor,0,0,0\nbottle,230,5,5\ncan,4,200,3\n")
    survey = survey_folder(tmp_path)
    assert any("show the number 0 in different colours: the colours count" in line for line in survey.guesses)
    described(tmp_path)
    for number, name in enumerate(NAMES):
        assert (samples(tmp_path)[f"{name}.jpg"] == labels(number)).all()


@pytest.mark.parametrize(
    ("file", "text", "names", "numbers"),
    [
        ("classes.csv", "0,floor\n1,can\n2,bag\n", ("floor", "can", "bag"), (0, 1, 2)),
        ("classes.csv", "floor\ncan\n", ("floor", "can"), ()),
        ("classes.csv", "name,id,trainId\nroad,7,0\nwalk,8,1\n", ("road", "walk"), (7, 8)),
        ("classes.csv", "Idx,Ratio,Train,Name\n1,0.5,9,floor\n2,0.3,8,can\n", ("floor", "can"), (1, 2)),
        ("classes.csv", 'id,name\n1,"bottle, PET"\n2,"can: steel"\n', ("bottle, PET", "can: steel"), (1, 2)),
        ("classes.txt", "1.5l bottle\n0.33l can\n", ("1.5l bottle", "0.33l can"), ()),
        ("classes.txt", "2 axle truck\n3 axle bus\n", ("2 axle truck", "3 axle bus"), ()),
        ("classes.txt", "1, 2 or 3 leaves\n0 leaves\n", ("1, 2 or 3 leaves", "0 leaves"), ()),
        ("classes.txt", "7: road\n0: void\n", ("void", "road"), (0, 7)),
        ("label_colors.txt", "floor: (0, 0, 0)\ncan: (230, 5, 5)\n", ("floor", "can"), ()),
        ("label_colors.txt", "0,0,0 floor\n230,5,5 can\n", ("floor", "can"), ()),
        ("labelmap.txt", "# label:color_rgb:parts:actions\n1:0,0,0::\n2:230,5,5::\n", ("1", "2"), ()),
    ],
)
def test_names_and_numbers_in_files(tmp_path, file, text, names, numbers):
    (tmp_path / file).write_text(text)
    found, _ = find_names(read_tree(tmp_path))
    assert (found.names, found.numbers) == (names, numbers)


@pytest.mark.parametrize(
    "text", ["filename, can, bottle, bag\na.jpg, 1, 0, 1\nb.jpg, 0, 1, 1\n", f"name,r,g,b\nfloor,{'9' * 5000},0,0\n"]
)
def test_other_tables_are_told_and_not_used(tmp_path, text):
    write_pairs(tmp_path, NAMES)
    (tmp_path / "_classes.csv").write_text(text)
    survey = survey_folder(tmp_path)
    assert survey.classes.names == ("background", "class_1", "class_2")
    assert "_classes.csv is no table of classes with one name a line, and is not used" in survey.guesses


def test_numbers_count_where_a_table_states_them_whatever_the_palettes(tmp_path):
    write_pairs(tmp_path, NAMES)
    for number, name in enumerate(NAMES):
        mask = Image.fromarray(labels(number))
        mask.putpalette((COLOURS + number % 2).tobytes())
        mask.save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "classes.csv").write_text("id,name\n0,floor\n1,can\n2,bag\n")
    assert described(tmp_path)["mask_kind"] == "index"
    assert (samples(tmp_path)[f"{NAMES[1]}.jpg"] == labels(1)).all()


def test_dark_colours_are_colours(tmp_path):
    dark = np.array([[10, 10, 10], [230, 5, 5], [4, 200, 3]], np.uint8)
    write_pairs(tmp_path, NAMES, change=lambda found: dark[found])
    save(tmp_path / "masks" / f"{NAMES[0]}.png", np.full((HEIGHT, WIDTH, 3), 10, np.uint8))
    assert described(tmp_path)["mask_kind"] == "colour"


def test_void_at_255_is_no_class(tmp_path):
    write_pairs(tmp_path, NAMES, change=lambda found: np.array([0, 1, 255], np.uint8)[found])
    (tmp_path / "classes.txt").write_text("0: floor\n1: can\n255: void\n")
    content = described(tmp_path)
    assert content["classes"] == ["floor", "can"] and content["ignore_index"] == 255


def test_names_of_cvat_are_read(tmp_path):
    write_pairs(tmp_path, NAMES, change=lambda found: COLOURS[found])
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nbottle:230,5,5::\ncan:4,200,3::\n"
    )
    assert described(tmp_path)["classes"] == ["background", "bottle", "can"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "background\nbottle\ncan\n"),
        ("classes.txt", "bottle\ncan\n"),
        ("labels.txt", "0 background\n1 bottle\n2 can\n"),
        ("data.yaml", "names: {0: background, 1: bottle, 2: can}"),
        ("obj.names", "_background_\nbottle\ncan"),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, bottle\n2, can\n"),
        ("_classes.csv", "Pixel Value, Class\n2, can\n0, background\n1, bottle\n"),
        ("_classes.csv", "\ufeffPixel Value;Class\r\n0;background\r\n1;bottle\r\n2;can\r\n"),
        ("classes.csv", "id\tname\n0\tbackground\n1\tbottle\n2\tcan\n"),
        ("classes.csv", "name\nbackground\nbottle\ncan\n"),
    ],
)
def test_class_names_are_read(tmp_path, file, text):
    write_pairs(tmp_path, NAMES)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert described(tmp_path)["classes"][1:] == ["bottle", "can"]


def test_numbers_in_a_table_are_those_of_the_masks(tmp_path):
    write_pairs(tmp_path, NAMES, change=lambda found: np.array([0, 1, 5], np.uint8)[found])
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n5, can\n0, floor\n3, bag\n1, bottle\n")
    content = described(tmp_path)
    assert content["classes"] == ["floor", "bottle", "bag", "can"] and content["values"] == {0: 0, 1: 1, 3: 2, 5: 3}
    assert set(np.unique(samples(tmp_path)[f"{NAMES[0]}.jpg"])) == {0, 1, 3}


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "names: {0: floor, 1: bottle, 3: bag, 5: can}"),
        ("data.yaml", "names: {5: can, 3: bag, 1: bottle}"),
        ("classes.txt", "0 floor\n1 bottle\n3 bag\n5 can\n"),
        ("classes.txt", "5: can\n3: bag\n1: bottle\n0: floor\n"),
        ("classes.csv", "name,id\nfloor,0\nbottle,1\nbag,3\ncan,5\n"),
    ],
)
def test_numbers_of_names_are_those_of_the_masks(tmp_path, file, text):
    write_pairs(tmp_path, NAMES, change=lambda found: np.array([0, 1, 5], np.uint8)[found])
    (tmp_path / file).write_text(text)
    content = described(tmp_path)
    assert content["classes"][1:] == ["bottle", "bag", "can"] and content["values"] == {0: 0, 1: 1, 3: 2, 5: 3}


@pytest.mark.parametrize("names", ["{1: bottle, 2: can}", "{0: bottle, 7: can}", "[bottle, bottle]"])
def test_ids_of_yolo_are_those_that_its_names_have(tmp_path, names):
    write_images(tmp_path, "images/{}.jpg", NAMES)
    ids = [0, 1] if "[" in names else list(yaml.safe_load(names))
    for number, name in enumerate(NAMES):
        write_text(tmp_path / "labels" / f"{name}.txt", f"{ids[number % 2]} 0.1 0.1 0.5 0.1 0.5 0.6\n")
    write_text(tmp_path / "data.yaml", f"names: {names}\n")
    content = described(tmp_path)
    assert content["classes"] == ["background", *dict.fromkeys(name.strip("[]{} 0127:") for name in names.split(","))]
    found = samples(tmp_path)
    assert set(np.unique(found[f"{NAMES[1]}.jpg"])) == {0, len(content["classes"]) - 1}


def test_table_that_counts_objects_from_one_leaves_zero_to_the_background(tmp_path):
    write_pairs(tmp_path, NAMES)
    (tmp_path / "classes.csv").write_text("id,name\n1,bottle\n2,can\n")
    assert described(tmp_path)["classes"] == ["background", "bottle", "can"]


def test_255_is_ignored_where_there_are_classes_beside_it(tmp_path):
    void = np.array([0, 1, 255], np.uint8)
    write_pairs(tmp_path, NAMES, change=lambda found: void[found])
    survey = survey_folder(tmp_path)
    assert survey.plan.meaning.options == {"ignore_index": 255} and len(survey.classes) == 2
    assert any("255 in masks is taken as pixels that do not count" in line for line in survey.guesses)


def test_numbers_with_gaps_become_classes_in_their_order(tmp_path):
    numbers = np.array([0, 30, 70], np.uint8)
    write_pairs(tmp_path, NAMES, change=lambda found: numbers[found])
    (tmp_path / "classes.txt").write_text("floor\nbottle\ncan")
    content = described(tmp_path)
    assert content["values"] == {0: 0, 30: 1, 70: 2} and content["classes"] == ["floor", "bottle", "can"]
