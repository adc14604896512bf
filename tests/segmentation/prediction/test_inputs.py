import os
from pathlib import Path

import pytest
from PIL import Image

from fanet.errors import UserError, printable_line
from fanet.segmentation.prediction.inputs import Inputs, collect_inputs
from fanet.segmentation.prediction.plan import Prediction, plan_predictions

from ...platforms import links, posix


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _image(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(name, "PNG")


def _files(inputs: Inputs) -> list[str]:
    return [path.as_posix() for path, _ in inputs.files]


def _results(*entries: str, output: str = "out") -> list[str]:
    return [files.labels.as_posix() for files in plan_predictions(collect_inputs(entries).files, output)]


def _fill_folder() -> None:
    _image("in/a.png", "in/.hidden.png", "in/._a.png", "in/noending")
    for name in ("notes.txt", "labels.json", "shot.nef", ".DS_Store"):
        Path("in", name).write_text("text")
    os.symlink("nowhere.png", "in/dangling.png")
    os.symlink("a.png", "in/again.png")
    _image("in/day1/deep/b.jpg", "in/old_labels.png", "in/old_overlay.png", "in/a_labels.png")
    Path("in/empty").mkdir()


@links
def test_everything_in_a_folder_is_taken_or_named_with_the_reason() -> None:
    _fill_folder()
    inputs = collect_inputs(["in"])
    assert _files(inputs) == ["in/a.png", "in/noending"]
    assert {reason: sorted(path.name for path in paths) for reason, paths in inputs.left_out.items()} == {
        "hidden": ["._a.png", ".hidden.png"],
        "not an image or video": ["labels.json", "notes.txt"],
        "raw camera data": ["shot.nef"],
        "broken link": ["dangling.png"],
        "linked again": ["again.png"],
        "subfolder with images": ["day1"],
        "from an earlier run": ["a_labels.png", "old_labels.png", "old_overlay.png"],
    }
    text = inputs.summary()
    assert text.startswith("10 files left out: ") and "\n" not in text
    assert "2 hidden (._a.png, .hidden.png)" in text
    assert text.endswith('; 1 subfolder with images left out (day1): give "in/**" for all')


def test_folder_without_more_has_nothing_to_tell() -> None:
    _image("in/a.png", "in/b.png")
    assert collect_inputs(["in", "in/a.png"]).summary() == ""


def test_many_files_are_named_by_three() -> None:
    _image("in/a.png")
    for index in range(1000):
        Path("in", f"{index:03d}.txt").touch()
    text = collect_inputs(["in"]).summary()
    assert text == "1000 files left out: 1000 not an image or video (000.txt, 001.txt, 002.txt, …)"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            "in",
            r'has no images or videos; 1 file left out: .*notes.txt.*1 subfolder .*\(day1\): give "in/\*\*" for all',
        ),
        ("in/*.tif", "no file matches in/"),
        ("in/*.txt", r"no file matches in/\*.txt; 1 file left out: 1 not an image"),
        ("nofolder/*.jpg", "no file matches nofolder"),
        ("in/none.jpg", "there is no file in/none.jpg"),
        ("x" * 300, "there is no file xxx"),
    ],
)
def test_nothing_to_predict_is_refused_with_what_is_there(entry: str, message: str) -> None:
    _image("in/day1/a.png")
    Path("in/notes.txt").touch()
    with pytest.raises(UserError, match=message) as caught:
        collect_inputs([entry])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["photos/**"], ["out/a_labels.png", "out/day1/a_labels.png", "out/day2/x/a_labels.png"]),
        (["photos/*/*.png"], ["out/day1/a_labels.png"]),
        (["photos/day?/**/*.png"], ["out/day1/a_labels.png", "out/day2/x/a_labels.png"]),
        (["photos/day1/*.png"], ["out/a_labels.png"]),
        (["photos/../photos/*/a.png"], ["out/day1/a_labels.png"]),
        (["photos/day1/a.png"], ["out/a_labels.png"]),
        (["**/x/*"], ["out/photos/day2/x/a_labels.png"]),
    ],
)
def test_pattern_keeps_the_folders_below_its_fixed_part(entries: list[str], expected: list[str]) -> None:
    _image("photos/a.png", "photos/day1/a.png", "photos/day2/x/a.png")
    assert _results(*entries) == expected


def test_one_name_in_two_folders_is_refused_with_the_pattern_that_mends_it() -> None:
    _image("day1/a.png", "day2/a.png")
    with pytest.raises(UserError, match=r"day1/a.png and day2/a.png would both become .*give a quoted pattern"):
        _results("day1/a.png", "day2/a.png")


def test_one_name_with_two_suffixes_keeps_them() -> None:
    _image("in/a.png", "in/a.jpg", "in/b.png", "in/a.b.png")
    assert _results("in") == [f"out/{name}_labels.png" for name in ("a.b", "a.jpg", "a.png", "b")]


@pytest.mark.parametrize(
    ("made", "entry"),
    [
        ("photos [1]/a.png", "photos [1]/a.png"),
        ("photos [1]/a.png", "photos [1]"),
        ("photos [1]/a.png", "photos [1]/*.png"),
        ("[ab]/*/a.png", "[ab]/*/a.png"),
        ("[d]/x/a.png", "[d]/**/a.png"),
        ("what?.png", "what?.png"),
    ],
)
def test_names_that_look_like_patterns_are_meant_literally(made: str, entry: str) -> None:
    _image(made)
    assert _files(collect_inputs([entry])) == [made]


@posix
def test_home_folder_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    _image("photos/a.png")
    for entry in ("~/photos", "~/photos/*.png", "~/photos/a.png"):
        assert _files(collect_inputs([entry])) == [f"{folder}/photos/a.png"]


@links
def test_linked_folders_are_followed_and_loops_end() -> None:
    _image("archive/2024/a.png", "photos/b.png")
    os.symlink(Path("archive").resolve(), "photos/archive")
    for name in ("loop1", "loop2", "loop3"):
        os.symlink(Path("photos").resolve(), f"photos/{name}")
        os.symlink(Path("photos").resolve(), f"archive/2024/{name}")
    assert _files(collect_inputs(["photos/**/*.png"])) == ["photos/b.png", "photos/archive/2024/a.png"]


def test_hidden_folders_are_not_entered() -> None:
    _image("in/.cache/a.png", "in/b.png")
    assert _files(collect_inputs(["in/**"])) == ["in/b.png"]


def test_results_below_the_inputs_are_not_inputs_again() -> None:
    _image("in/a.png", "in/out/a_labels.png", "in/out/a_overlay.png", "in/out/v_labels.partial.png")
    Path("in/out/v_overlay.partial.mp4").touch()
    inputs = collect_inputs(["in/**"])
    assert _files(inputs) == ["in/a.png"] and "4 from an earlier run" in inputs.summary()
    assert collect_inputs(["in"]).summary() == ""
    assert _files(collect_inputs(["in/out/a_overlay.png"])) == ["in/out/a_overlay.png"]  # when asked for


def test_images_that_only_end_as_results_do_are_images() -> None:
    _image("in/map_overlay.png", "in/food_labels.png")
    assert len(collect_inputs(["in"]).files) == 2


def test_name_that_is_no_text_can_be_printed() -> None:
    name = os.fsdecode(b"in/b\xffd\n.txt")
    _image("in/a.png")
    Path(name).touch()
    collect_inputs(["in"]).summary().encode()
    assert printable_line(Path(name)) == "in/b\\xffd\\n.txt"


def test_too_long_a_name_is_refused_before_anything_is_predicted() -> None:
    name = "x" * 245 + ".png"
    _image(name)
    with pytest.raises(UserError, match="is too long for its results"):
        _results(name)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_results_of_an_earlier_run_are_counted_and_named(count: int) -> None:
    _image(*(f"in/{index}.png" for index in range(count)), *(f"out/{index}_labels.png" for index in range(count)))
    with pytest.raises(UserError, match=rf"^{count} results? of an earlier run exists? \(out/0_labels.png") as caught:
        _results("in")
    assert "--overwrite" in str(caught.value) and str(caught.value).count("out/") <= 3
    assert len(plan_predictions(collect_inputs(["in"]).files, "out", overwrite=True)) == count


def test_pages_have_numbers_that_sort() -> None:
    frames = [Image.new("L", (8, 8), 20 * index) for index in range(11)]
    frames[0].save("a.gif", save_all=True, append_images=frames[1:])
    planned: list[Prediction] = plan_predictions(collect_inputs(["a.gif"]).files, "out")
    assert [files.page for files in planned] == list(range(1, 12))
    assert [files.labels.name for files in planned][8:10] == ["a_page09_labels.png", "a_page10_labels.png"]
