import csv
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.scenes import Causes
from fanet.scenes.causes import RANGES
from fanet.segmentation.evaluation.clutterbench.axes import AXES, axes_of
from fanet.segmentation.evaluation.clutterbench.bench import run_clutterbench
from fanet.segmentation.evaluation.clutterbench.table import COLUMNS, Table

from ....platforms import posix

SHORT = {"scenes": 3, "size": (200, 200), "seed": 1}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_axes_are_the_causes_and_sweep_values_that_scenes_take():
    assert list(AXES) == list(RANGES) and set(AXES) == {entry.name for entry in fields(Causes)}
    for axis in AXES.values():
        assert list(axis.values) == sorted(set(axis.values)) and len(axis.values) >= 5
        assert [Causes.of({axis.name: value}) for value in axis.values]


def test_every_model_has_a_row_at_every_point(tmp_path, quick):
    run_clutterbench(["a", "bb"], tmp_path, ["occlusion", "object_count"], **SHORT)
    rows = rows_of(tmp_path)
    assert tuple(rows[0]) == COLUMNS
    points = [(name, f"{value:g}") for name in ("occlusion", "object_count") for value in AXES[name].values]
    assert [(row["model"], row["axis"], row["value"]) for row in rows] == [(m, *p) for m in ("a", "bb") for p in points]
    for row in rows:
        assert float(row["miou_low_percent"]) <= float(row["miou_percent"]) <= float(row["miou_high_percent"])
        assert all(0 <= float(row[f"iou_{name}_percent"]) <= 100 for name in ZEROWASTE.names)
        assert (row["scenes"], row["seed"], row["size"], row["weights"]) == ("3", "1", "200x200", row["model"].zfill(4))


def test_scenes_where_axes_cross_are_predicted_once(tmp_path, quick):
    run_clutterbench(["a"], tmp_path, **SHORT)
    points = sum(len(axis.values) for axis in AXES.values())
    scenes = {Causes.of({axis.name: value}) for axis in AXES.values() for value in axis.values}
    assert len(rows_of(tmp_path)) == points > len(scenes)
    assert len(quick[0].seen) == len(scenes) * SHORT["scenes"]
    at_default = {row["miou_percent"] for row in rows_of(tmp_path) if Causes.of(_cause(row)) == Causes()}
    assert len(at_default) == 1


def _cause(row: dict[str, str]) -> dict[str, float]:
    return {row["axis"]: float(row["value"])}


def test_an_interrupted_benchmark_continues_with_the_points_that_are_missing(tmp_path, quick):
    run_clutterbench(["a", "bb"], tmp_path / "whole", ["occlusion", "border_distance"], **SHORT)
    whole = len(quick[0].seen)
    quick.clear()

    class Interrupting(list):
        def append(self, image):
            if len(self) == 7:
                raise KeyboardInterrupt
            super().append(image)

    from fanet.segmentation.evaluation.clutterbench import bench

    load = bench.Contestant.load

    def interrupting(name, *rest, **more):
        model = load(name, *rest, **more)
        model.seen = Interrupting()
        return model

    bench.Contestant.load = interrupting
    with pytest.raises(KeyboardInterrupt):
        run_clutterbench(["a", "bb"], tmp_path / "cut", ["occlusion", "border_distance"], **SHORT)
    bench.Contestant.load = load
    assert len(rows_of(tmp_path / "cut")) == 2 * 2, "two points of three scenes"
    quick.clear()
    run_clutterbench(["a", "bb"], tmp_path / "cut", ["occlusion", "border_distance"], **SHORT)
    assert len(quick[0].seen) == whole - 2 * SHORT["scenes"]
    assert (tmp_path / "cut" / "scores.csv").read_bytes() == (tmp_path / "whole" / "scores.csv").read_bytes()


def test_further_models_and_axes_are_added(tmp_path, quick):
    run_clutterbench(["a"], tmp_path, ["occlusion"], **SHORT)
    before = rows_of(tmp_path)
    run_clutterbench(["bb"], tmp_path, ["occlusion", "translucency"], **SHORT)
    assert [model.name for model in quick] == ["a", "bb"]
    assert rows_of(tmp_path)[: len(before)] == before
    run_clutterbench(["a", "bb"], tmp_path, **SHORT)
    run_clutterbench(["a", "bb"], tmp_path / "at_once", **SHORT)
    assert (tmp_path / "scores.csv").read_bytes() == (tmp_path / "at_once" / "scores.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scenes": 4}, "scores.csv has scores with scenes 3, not 4: choose another folder"),
        ({"seed": 2}, "with seed 1, not 2"),
        ({"size": (200, 256)}, "with size 200x200, not 256x200"),
        ({"engine": "onnx"}, "scores of a with engine eager, not onnx"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path, quick, change, message):
    run_clutterbench(["a"], tmp_path, ["occlusion"], **SHORT)
    before = (tmp_path / "scores.csv").read_bytes()
    with pytest.raises(UserError, match=message):
        run_clutterbench(["a"], tmp_path, ["translucency"], **SHORT | change)
    assert (tmp_path / "scores.csv").read_bytes() == before


def test_a_model_that_was_trained_again_is_refused(tmp_path, quick):
    run_clutterbench(["a"], tmp_path, ["occlusion"], **SHORT)
    file = tmp_path / "scores.csv"
    file.write_text(file.read_text().replace("000a", "beef"))
    with pytest.raises(UserError, match="scores of a with weights beef, not 000a"):
        run_clutterbench(["a"], tmp_path, ["occlusion"], **SHORT)


@pytest.mark.parametrize(
    "text", ["", "model,axis\na,b\n", "\0", ",".join(COLUMNS) + "\na,occlusion\n", b"\xff\xfe\xff"]
)
def test_another_file_of_that_name_is_refused(tmp_path, quick, text):
    file = tmp_path / "scores.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="choose another folder"):
        run_clutterbench(["a"], tmp_path, ["occlusion"], **SHORT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": ["haze"]}, "no axis 'haze': choose from object_size"),
        ({"scenes": 1}, "at least 2 scenes"),
        ({"size": (100, 300)}, "too small for objects of 0.04 .* at least 200 pixels"),
        ({"seed": -1}, "negative"),
    ],
)
def test_bad_arguments_are_refused_before_a_model_is_loaded(tmp_path, quick, change, message):
    with pytest.raises(UserError, match=message):
        run_clutterbench(["a"], tmp_path / "new", **SHORT | change)
    assert not quick and not (tmp_path / "new").exists()


def test_axes_are_in_one_order_however_they_are_named():
    assert [axis.name for axis in axes_of(["occlusion", "object_size"])] == ["object_size", "occlusion"]


def test_a_table_finds_its_points(tmp_path, quick):
    table = run_clutterbench(["a"], tmp_path, ["colour_overlap"], **SHORT)
    assert table.find("a", "colour_overlap", 0.25)["value"] == "0.25"
    assert table.find("a", "colour_overlap", 0.3) is None
    assert Table(tmp_path / "scores.csv").rows == table.rows


SLOW_RUN = """
import sys, time
sys.path.insert(0, sys.argv[2])
import pytest
from conftest import Stub, fake_scene
import fanet.scenes
from fanet.segmentation.evaluation.clutterbench import bench
fanet.scenes.scene, bench.Contestant.load = fake_scene, Stub.load
bench.write_report = bench.plot_curves = lambda *rest: None
labels = Stub.labels
Stub.labels = lambda self, image: (time.sleep(0.005), labels(self, image))[1]
print("started", flush=True)
bench.run_clutterbench(["a", "bb"], sys.argv[1], scenes=8, size=(200, 200), seed=1)
"""


@posix
@pytest.mark.slow
def test_killed_benchmarks_end_with_the_scores_of_one_that_was_not(tmp_path):
    def start(folder: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", SLOW_RUN, str(folder), str(Path(__file__).parent)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout.readline()
        return process

    def end(process: subprocess.Popen) -> int:
        process.communicate()  # closes the pipe, too
        return process.returncode

    assert end(start(tmp_path / "whole")) == 0
    moments = random.Random(0)
    for _ in range(5):
        process = start(tmp_path / "killed")
        time.sleep(moments.uniform(0.05, 1))
        process.send_signal(signal.SIGKILL)
        assert end(process) == -signal.SIGKILL
    finished = len(rows_of(tmp_path / "killed"))
    assert end(start(tmp_path / "killed")) == 0
    assert 0 < finished < len(rows_of(tmp_path / "killed"))
    assert (tmp_path / "killed" / "scores.csv").read_bytes() == (tmp_path / "whole" / "scores.csv").read_bytes()
