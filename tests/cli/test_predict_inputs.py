"""What `fanet predict` does with the files that people have; which kinds there are is tested where they are read."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.cli.printing import print_line
from fanet.media.images import read_labels, write_png, write_png_rows
from fanet.segmentation import UperNet
from fanet.segmentation.prediction.predictor import Predictor

from ..media.test_video_damage import FRAMES, clip
from ..platforms import links, posix

PIXELS = np.random.default_rng(0).integers(256, size=(64, 80, 3), dtype=np.uint8)

CURE = "free some space, or choose another folder"  # what a full disk asks for


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    UperNet("test_fanet", num_classes=5, head_channels=16, aux_channels=0).eval().save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def predict(model: str, capsys: pytest.CaptureFixture[str]):
    def run(*argv: str) -> tuple[int, str, str]:
        status = main(["predict", *argv, "--model", model, "-o", "out"])
        return status, *capsys.readouterr()

    return run


def _images(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        write_png(name, PIXELS)


def _results(folder: str = "out") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_closing_line_counts_what_was_left_out(predict) -> None:
    _images("in/a.png", "in/b", "in/.c.png", "in/day1/d.png")
    Path("in/notes.txt").touch()
    status, out, err = predict("in")
    assert (status, err) == (0, "")
    assert out == (
        "2 images segmented: labels and overlays in out; 2 files left out: 1 hidden (.c.png), 1 not an image or video "
        '(notes.txt); 1 subfolder with images left out (day1): give "in/**" for all\n'
    )


def test_model_and_its_training_are_named_unless_one_was_given(predict, capsys: pytest.CaptureFixture[str]) -> None:
    _images("a.png")
    assert main(["predict", "a.png", "-o", "own"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 image segmented")
    assert lines[1].startswith("model: clutter, trained on generated scenes of cluttered waste")
    assert "model" not in predict("a.png")[1]


def test_folders_below_the_pattern_are_kept(predict) -> None:
    _images("photos/day1/a.png", "photos/day2/a.png")
    assert predict("photos/**/*.png")[0] == 0
    assert _results() == [f"day{day}/a_{kind}.png" for day in (1, 2) for kind in ("labels", "overlay")]


def test_earlier_results_are_replaced_only_when_asked(predict, monkeypatch: pytest.MonkeyPatch) -> None:
    _images("in/a.png", "in/b.png")
    Path("out").mkdir()
    Path("out/b_overlay.png").write_text("drawn by hand")
    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "labels", lambda *args: pytest.fail("predicted before the refusal"))
        status, out, err = predict("in")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "1 result of an earlier run exists (out/b_overlay.png): give --overwrite" in err
    assert _results() == ["b_overlay.png"]
    assert predict("in", "--overwrite")[0] == 0 and len(_results()) == 4
    assert predict("in", "--overwrite")[0] == 0
    assert read_labels("out/b_labels.png").shape == (64, 80)


def test_each_page_and_frame_gets_results(predict, model: str) -> None:
    frames = [Image.fromarray(np.roll(PIXELS, shift, 0)) for shift in (0, 9, 18)]
    frames[0].save("stack.tif", save_all=True, append_images=frames[1:])
    frames[0].save("clip.webp", save_all=True, append_images=frames[1:2], lossless=True)
    status, out, err = predict("stack.tif", "clip.webp")
    assert (status, err) == (0, "") and out.startswith("5 images segmented")
    pages = ["clip_page1", "clip_page2", "stack_page1", "stack_page2", "stack_page3"]
    assert _results() == [f"{page}_{kind}.png" for page in pages for kind in ("labels", "overlay")]
    expected = UperNet.from_pretrained(model).predict(np.roll(PIXELS, 18, 0))
    np.testing.assert_array_equal(read_labels("out/stack_page3_labels.png"), expected)


def test_many_files_with_one_trouble_give_one_line(predict) -> None:
    Path("in").mkdir()
    for index in range(20):
        Image.fromarray(np.full((32, 32), 4000 + index, np.uint16)).save(f"in/{index:02d}.png")
    status, out, err = predict("in")
    assert status == 0 and out.startswith("20 images segmented")
    assert err.count("\n") == 1 and err.startswith("fanet: warning: in/00.png: its values use only 4000..4000")
    assert err.endswith("(and 19 more like it)\n")


@pytest.mark.parametrize(("name", "codec"), [("belt.mkv", "libx264"), ("belt.avi", "mpeg4"), ("belt", "mpeg2video")])
def test_recording_that_breaks_off_keeps_what_was_read_under_a_name_that_says_so(
    name: str, codec: str, predict
) -> None:
    made = Path(name if "." in name else "belt.mpg")
    data = clip(made, codec)
    made.unlink()
    _images("a.png")
    Path(name).write_bytes(data[: len(data) * 2 // 3])
    status, out, err = predict(name, "a.png")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert _results() == ["a_labels.png", "a_overlay.png", "belt_labels.partial.mkv", "belt_overlay.partial.mp4"]
    with av.open("out/belt_labels.partial.mkv") as video:
        count = sum(1 for _ in video.decode(video=0))
    assert 0 < count < FRAMES and f"only {count} " in err
    assert "1 of 2 files failed" in err and "out/belt_labels.partial.mkv" in err and "1 image segmented" in err


def test_whole_recording_replaces_its_partial_results(predict) -> None:
    data = clip(Path("whole.mkv"), "mpeg4")
    Path("belt.mkv").write_bytes(data[: len(data) * 2 // 3])
    assert predict("belt.mkv")[0] == 2
    Path("belt.mkv").write_bytes(data)
    assert "2 results of an earlier run exist (out/belt_labels.partial.mkv" in predict("belt.mkv")[2]
    assert predict("belt.mkv", "--overwrite")[0] == 0
    assert _results() == ["belt_labels.mkv", "belt_overlay.mp4"]


@pytest.mark.parametrize("trouble", ["no PyAV", "damaged"])
def test_one_bad_video_does_not_stop_the_images(trouble: str, predict, monkeypatch: pytest.MonkeyPatch) -> None:
    _images("in/a.png", "in/z.png")
    Path("in/belt.mp4").write_text("no video")
    if trouble == "no PyAV":
        monkeypatch.setitem(sys.modules, "av", None)
    status, _, err = predict("in")
    assert status == 2 and err.count("\n") == 1 and "1 of 3 files failed" in err and "2 images segmented" in err
    assert ('pip install "fanet[video]"' if trouble == "no PyAV" else "truncated, damaged or not a video") in err
    assert len(_results()) == 4


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "PNG"), ("b.mov", "JPEG"), ("c.avi", "WEBP")])
def test_image_with_the_ending_of_a_video_is_an_image(name: str, kind: str, predict) -> None:
    Image.fromarray(PIXELS).save(name, format=kind)
    assert predict(name)[:2] == (0, "1 image segmented: labels and overlays in out\n")
    assert _results() == [f"{name[0]}_labels.png", f"{name[0]}_overlay.png"]


@links
def test_link_to_itself_hides_no_folders_and_stops_no_results(predict) -> None:
    _images("photos/day/a.png")
    for loop in ("photos/loop.png", "out/day/a_labels.png"):
        Path(loop).parent.mkdir(parents=True, exist_ok=True)
        Path(loop).symlink_to(Path(loop).name)
    status, said, _ = predict("photos/**", "--overwrite")
    assert status == 0 and "1 image segmented" in said and "1 broken link (loop.png)" in said
    assert _results() == ["day/a_labels.png", "day/a_overlay.png"]


@posix
def test_pipe_is_called_what_it_is(predict) -> None:
    _images("photos/a.png")
    os.mkfifo("photos/b.png")
    assert "1 file left out: 1 not a regular file (b.png)" in predict("photos")[1]


@pytest.mark.parametrize("words", [["predict", "", "-o", "out"], ["predict", "a.png", "-o", ""], ["demo", "-o", ""]])
def test_empty_name_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _images("a.png")
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2 and "empty" in capsys.readouterr().err
    assert os.listdir() == ["a.png"]


def test_many_failures_stay_one_readable_line(predict) -> None:
    for index in range(30):
        _images(f"in/{index:02d}.png")
        Path(f"in/{index:02d}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    status, _, err = predict("in")
    assert status == 2 and err.count("\n") == 1
    assert "30 of 30 files failed" in err and "and 25 more" in err and err.count(".png") == 5


def test_names_that_are_no_text_are_predicted_and_printed(predict) -> None:
    name, other = (os.fsdecode(text) for text in (b"in/b\xff.png", b"in/n\xff.txt"))
    _images("in/a.png")
    shutil.copy("in/a.png", name)
    Path(other).touch()
    status, out, _ = predict("in")
    assert status == 0 and "n\\xff.txt" in out
    assert Path(os.fsdecode(b"out/b\xff_labels.png")).exists()
    Path(name).write_text("damaged")
    status, _, err = predict(name, "--overwrite")
    assert status == 2 and "b\\xff.png is not an image" in err


def test_terminal_without_the_letters_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    print_line("1 image in größe")
    terminal.flush()
    assert terminal.buffer.getvalue() == b"1 image in gr\\xf6\\xdfe\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["image", "video"])
def test_full_disk_is_reported_with_the_file_and_leaves_nothing_half_written(
    kind: str, disk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "image":
        write_png("noise.png", np.random.default_rng(0).integers(256, size=(300, 400, 3), dtype=np.uint8))
    else:
        clip(Path("noise.mkv"), size=(240, 320))
    (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 150_000))
    argv = ["predict", *map(str, Path().glob("noise.*")), "--model", model, "-o", str(disk / "out")]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "No space left on device" in err and "noise_" in err and ".tmp-" not in err
    for path in (disk / "out").iterdir():  # the label map may have fitted
        assert path.name == "noise_labels.png" and read_labels(path).shape == (300, 400)


def test_error_of_a_full_disk_names_the_file(predict, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> Iterator[bytes]:
        yield b"\x89PNG"
        raise OSError(28, "No space left on device")

    _images("a.png")
    monkeypatch.setattr("fanet.media.images.png_chunks", full)
    status, out, err = predict("a.png")
    assert (status, out, err) == (
        2,
        "",
        f"fanet: error: cannot write out/a_labels.png: No space left on device; {CURE}\n",
    )
    assert _results() == []


def test_error_of_a_full_disk_names_the_video(predict, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    clip(Path("belt.mp4"))
    monkeypatch.setattr("fanet.media.video.VideoWriter.write", full)
    status, out, err = predict("belt.mp4")
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert "No space left on device" in err and "belt_overlay" in err
    assert _results() == []


@posix
@pytest.mark.slow
def test_image_of_200_megapixels_is_predicted_in_three_gigabytes() -> None:
    rows = np.random.default_rng(0).integers(256, size=(100, 1250, 3), dtype=np.uint8).repeat(16, axis=1)
    write_png_rows("map.png", (10_000, 20_000, 3), (np.roll(rows, 37 * index, 1) for index in range(100)))
    command = [sys.executable, "-m", "fanet", "predict", "map.png", "--window", "512", "512", "-o", "out"]
    subprocess.run([sys.executable, "-c", PEAK, *command], check=True)
    assert _results() == ["map_labels.png", "map_overlay.png"]


PEAK = """
import resource, subprocess, sys

subprocess.run(sys.argv[1:], check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
assert peak < 3e9, f"{peak / 1e9:.2f} GB"
"""

LARGE = """
import resource, sys
from fanet.cli import main

def peak(name):
    assert main(["predict", name, "--window", "256", "256", "--model", sys.argv[1], "-o", "out"]) == 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small = peak("small.png")
print((peak("large.png") - small) / (2000 * 4000))
"""


@posix
def test_memory_for_a_large_image_is_a_few_bytes_per_pixel(model: str) -> None:
    write_png("small.png", np.random.default_rng(0).integers(256, size=(512, 512, 3), dtype=np.uint8))
    write_png("large.png", np.random.default_rng(0).integers(256, size=(2000, 4000, 3), dtype=np.uint8))
    done = subprocess.run([sys.executable, "-c", LARGE, model], capture_output=True, text=True, check=True)
    assert float(done.stdout.splitlines()[-1]) < 16, "bytes per pixel"
