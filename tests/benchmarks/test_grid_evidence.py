"""What is told of the runs of a grid: what their networks cost, and how far they are apart."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from fanet.segmentation.evaluation.per_image import PER_IMAGE_NAME, PerImage

pytest.importorskip("fcntl", reason="grid.py locks its runs by `fcntl`, which Windows lacks")
import grid_costs  # noqa: E402
import grid_differences  # noqa: E402
import grid_tables  # noqa: E402

GRID = {
    "recipe": "clutter",
    "settings": ["model.head_channels=8", "model.aux_channels=0", "train.batch_size=2", "augmentation.crop=[64, 64]"],
    "axes": {
        "set": {"a": [], "b": []},
        "row": {"plain": ["model.backbone_kwargs={frm: none, dims: [16, 16, 16, 16]}"], "fanet": []},
        "seed": {0: [], 1: []},
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    return path


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_networks_are_counted_and_timed(file, monkeypatch):
    assert grid_costs.main([str(file), "row", "--size", "64", "96", "--rounds", "2", "--output", str(file.parent)]) == 0
    plain, fanet = _read(file.parent / "grid-small-costs.csv")
    assert (plain["row"], fanet["row"]) == ("plain", "fanet")
    assert float(plain["params_m"]) < float(fanet["params_m"]) and float(plain["gmacs"]) < float(fanet["gmacs"])
    assert float(plain["ratio"]) == float(plain["step_ratio"]) == 1
    assert float(fanet["step_ms"]) > 0
    monkeypatch.setattr(grid_tables, "read_csv", lambda stem: _read(file.parent / f"{stem}.csv"))
    table = grid_tables.costs("grid-small-costs")
    assert [row[0] for row in table] == ["row", "plain", "fanet"]
    assert table[0][3] == "ms at 64×96, 1 thread"


def test_an_axis_that_does_not_exist_is_named(file, capsys):
    for main, words in ((grid_costs.main, []), (grid_differences.main, ["fanet"])):
        with pytest.raises(SystemExit):
            main([str(file), "model", *words])
        assert "has no axis 'model', only set, row, seed" in capsys.readouterr().err


def _evaluate(folder: Path, right: int, rng: np.random.Generator) -> None:
    """Write an evaluation of 30 images of 100 pixels, of which about `right` are labelled correctly."""
    margins = np.zeros((30, 3, 2), np.int64)
    margins[:, 0] = rng.integers(right - 2, right + 3, (30, 2))
    margins[:, 1:] = 50
    folder.mkdir(parents=True)
    PerImage([str(index) for index in range(30)], ["x", "y"], margins).save(folder / PER_IMAGE_NAME)


def test_differences_have_intervals_over_images_and_seeds(file, monkeypatch):
    rng, runs = np.random.default_rng(0), file.parent / "runs"
    for seed in (0, 1):
        _evaluate(runs / f"a-plain-{seed}" / "scores", 30 + seed, rng)
        _evaluate(runs / f"a-fanet-{seed}" / "scores", 40 + seed, rng)
    _evaluate(runs / "b-fanet-0" / "scores", 40, rng)
    words = [str(file), "row", "fanet", "--by", "set", "--runs", str(runs), "--output", str(file.parent)]
    assert grid_differences.main(words) == 0
    (row,) = _read(file.parent / "grid-small-differences.csv")
    assert (row["set"], row["row"], row["reference"], row["runs"], row["images"]) == (
        "a",
        "plain",
        "fanet",
        "2 and 2",
        "30",
    )
    assert float(row["low"]) < float(row["difference"]) < float(row["high"])
    assert row["verdict"] == ("worse" if float(row["high"]) < 0 else "open")
    monkeypatch.setattr(grid_tables, "read_csv", lambda stem: _read(file.parent / f"{stem}.csv"))
    head, line = grid_tables.differences("grid-small-differences")
    assert head[:3] == ["set", "row", "compared with"] and line[:3] == ["a", "plain", "fanet"]
    with pytest.raises(SystemExit):
        grid_differences.main([*words, "--only", "set=b"])


def test_every_class_has_a_row(monkeypatch):
    scores = {"miou": "50.1", "miou_low": "40.2", "miou_high": "60.3", "iou": "dark blue 60.0; x -"}
    rows = [{"start": start, "seed": "0", "split": "test", **scores} for start in ("a", "b")]
    monkeypatch.setattr(grid_tables, "read_csv", lambda stem: rows)
    assert grid_tables.classes("grid-small") == [
        ["IoU (%)", "a, 0", "b, 0"],
        ["mean", "50.1 (40.2 to 60.3)", "50.1 (40.2 to 60.3)"],
        ["dark blue", "60.0", "60.0"],
        ["x", "-", "-"],
    ]
