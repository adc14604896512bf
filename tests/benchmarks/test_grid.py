import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from fanet.errors import UserError

pytest.importorskip("fcntl", reason="grid.py locks its runs by `fcntl`, which Windows lacks")
import grid  # noqa: E402

GRID = {
    "recipe": "clutter",
    "settings": ["train.iterations=9", "scheduler.warmup_iterations=0", "train.seed=$seed"],
    "split": "val",
    "axes": {
        "start": {
            "scratch": ["model.init_from=null"],
            "clutter": {"settings": ["model.init_from=clutter"], "split": "t"},
        },
        "seed": {0: [], 1: []},
    },
    "leave_out": [{"start": "clutter", "seed": 1}],
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    return path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Replace fanet's commands by functions that write what they would; return those that were run."""
    calls: list[tuple] = []

    def fake(cell: grid.Cell, threads: int, *arguments: str, held: tuple = ()) -> None:
        command = "train" if "train" in arguments else "score"
        calls.append((cell.name, command, *arguments))
        if command == "train":
            (cell.folder / "final").mkdir(parents=True)
            save_file({"weight": torch.zeros(3)}, cell.folder / "final" / "model.safetensors")
            (cell.folder / "log.csv").write_text("iteration,seconds\n5,1.0\n9,2.5\n")
        else:
            scores = {"miou": 50, "miou_low": 40, "miou_high": 60, "pixel_accuracy": 70, "iou": {"a": 1.0, "b": None}}
            (cell.folder / "scores").mkdir()
            (cell.folder / "scores" / "metrics.json").write_text(json.dumps(scores | {"images": 4}))

    monkeypatch.setattr(grid, "_python", fake)
    return calls


def run(file: Path, *words: str) -> int:
    folder = file.parent
    return grid.main([str(file), "--runs", str(folder / "runs"), "--output", str(folder / "out"), *words])


def rows(file: Path) -> list[dict[str, str]]:
    with open(file.parent / "out" / "grid-small.csv", newline="") as table:
        return list(csv.DictReader(table))


def test_every_combination_is_a_run_with_its_settings_and_split(file: Path) -> None:
    cells = grid.read_grid(file, Path("runs"))
    assert [cell.name for cell in cells] == ["scratch-0", "scratch-1", "clutter-0"]
    assert cells[1].settings == (*GRID["settings"][:2], "train.seed=1", "model.init_from=null")
    assert [cell.split for cell in cells] == ["val", "val", "t"]


def test_a_place_on_an_axis_may_have_a_recipe_of_its_own(file: Path) -> None:
    methods = {"ours": [], "peer": {"recipe": "zerowaste_focalnet_tiny", "settings": ["train.iterations=2000"]}}
    file.write_text(
        yaml.safe_dump(GRID | {"axes": {"method": methods, "seed": {0: []}}, "leave_out": []}, sort_keys=False)
    )
    ours, peer = grid.read_grid(file, Path("runs"))
    assert (ours.recipe, peer.recipe) == ("clutter", "zerowaste_focalnet_tiny")
    assert ours.digest() != peer.digest()


def test_files_to_import_are_given_to_every_run_from_wherever_it_is_started(
    file: Path, commands: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(yaml.safe_dump(GRID | {"import": ["../peers.py"]}, sort_keys=False))
    monkeypatch.chdir("/")
    assert run(file, "--only", "start=clutter") == 0
    train = next(call for call in commands if call[1] == "train")
    assert train[train.index("--import") + 1] == str((file.parent.parent / "peers.py").resolve())


def test_missing_runs_are_trained_and_finished_ones_are_not(file: Path, commands: list[tuple]) -> None:
    assert run(file, "--only", "seed=0", "--jobs", "2") == 0
    assert sorted({call[:2] for call in commands}) == [
        (name, command) for name in ("clutter-0", "scratch-0") for command in ("score", "train")
    ]
    commands.clear()
    assert run(file) == 0
    assert [call[:2] for call in commands] == [("scratch-1", "train"), ("scratch-1", "score")]
    assert "--resume" in commands[0]
    table = rows(file)
    assert [(row["start"], row["seed"], row["split"]) for row in table] == [
        ("scratch", "0", "val"),
        ("scratch", "1", "val"),
        ("clutter", "0", "t"),
    ]
    assert (table[0]["miou"], table[0]["iou"], table[0]["seconds"]) == ("50", "a 1.0; b -", "2.5")


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (["start=scratch"], ["scratch-0", "scratch-1"]),
        (["start=scratch", "start=clutter", "seed=0"], ["scratch-0", "clutter-0"]),
        (["seed=0", "seed=1"], ["scratch-0", "scratch-1", "clutter-0"]),
    ],
)
def test_runs_are_chosen_by_any_of_an_axis_values_and_all_axes(
    file: Path, commands: list[tuple], capsys: pytest.CaptureFixture[str], only: list[str], names: list[str]
) -> None:
    assert run(file, "--plan", "--only", *only) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == names


def test_rows_of_the_table_count_where_their_folders_are_gone_and_the_settings_are_the_same(
    file: Path, commands: list[tuple]
) -> None:
    assert run(file) == 0
    before = (file.parent / "out" / "grid-small.csv").read_bytes()
    shutil.rmtree(file.parent / "runs")
    commands.clear()
    assert run(file, "--from-table") == 0 and not commands
    assert (file.parent / "out" / "grid-small.csv").read_bytes() == before

    axes = GRID["axes"] | {"start": {**GRID["axes"]["start"], "scratch": ["model.dropout=0.3"]}}
    file.write_text(yaml.safe_dump(GRID | {"axes": axes}, sort_keys=False))
    assert run(file, "--from-table", "--only", "seed=0") == 0
    assert {name for name, *_ in commands} == {"scratch-0"}  # its settings changed; those of clutter-0 did not
    with open(file.parent / "out" / "grid-small.csv", newline="") as opened:
        assert [(row["start"], row["seed"]) for row in csv.DictReader(opened)] == [("scratch", "0"), ("clutter", "0")]

    shutil.rmtree(file.parent / "runs")
    commands.clear()
    assert run(file, "--only", "start=clutter") == 0 and commands  # without the option, all is trained


@pytest.mark.parametrize("only", [["start=scrach"], ["start"], ["stat=clutter"], ["start=clutter", "seed=1"]])
def test_place_without_a_run_is_refused(
    file: Path, commands: list[tuple], capsys: pytest.CaptureFixture[str], only: list[str]
) -> None:
    with pytest.raises(SystemExit):
        run(file, "--only", *only)
    assert "--only" in capsys.readouterr().err.splitlines()[-1]
    assert commands == []


def test_axis_named_like_a_column_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(yaml.safe_dump(GRID | {"axes": {"images": {"ten": []}}, "leave_out": []}, sort_keys=False))
    with pytest.raises(SystemExit):
        run(file)
    assert "a column images already" in capsys.readouterr().err


def test_plan_says_how_far_each_run_is(file: Path, commands: list[tuple], capsys: pytest.CaptureFixture[str]) -> None:
    run(file, "--only", "start=clutter")
    (file.parent / "runs" / "scratch-1").mkdir()
    (file.parent / "runs" / "scratch-1" / "last.pt").touch()
    capsys.readouterr()
    assert run(file, "--plan") == 0
    assert capsys.readouterr().out.split() == "missing scratch-0 started scratch-1 finished clutter-0".split()


def test_finished_run_with_other_settings_is_refused(
    file: Path, commands: list[tuple], capsys: pytest.CaptureFixture[str]
) -> None:
    run(file)
    file.write_text(
        yaml.safe_dump(GRID | {"settings": ["train.iterations=10", "scheduler.warmup_iterations=1"]}, sort_keys=False)
    )
    with pytest.raises(SystemExit):
        run(file)
    assert "was trained with other settings: delete it" in capsys.readouterr().err


def test_failed_run_does_not_stop_the_others(
    file: Path, commands: list[tuple], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    works = grid._python

    def fails(cell: grid.Cell, threads: int, *arguments: str, held: tuple = ()) -> None:
        if cell.name == "scratch-0":
            raise UserError("scratch-0: no data")
        works(cell, threads, *arguments)

    monkeypatch.setattr(grid, "_python", fails)
    assert run(file) == 1
    assert "scratch-0: no data" in capsys.readouterr().err
    assert len(rows(file)) == 2


def test_run_that_another_process_trains_is_left_to_it(file: Path, commands: list[tuple]) -> None:
    import fcntl

    cell = grid.read_grid(file, file.parent / "runs")[0]
    cell.folder.parent.mkdir()
    with (cell.folder.parent / f"{cell.folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert grid.execute(cell, 1) == "scratch-0: another process trains it"
    assert not commands


def test_command_that_fails_is_named_with_its_last_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = grid.read_grid(file, file.parent / "runs")[0]
    cell.folder.parent.mkdir()
    with pytest.raises(UserError, match="scratch-0: fanet: error: there is no recipe 'nothing'"):
        grid._python(cell, 1, "-m", "fanet", "train", "nothing", "-o", str(cell.folder))
