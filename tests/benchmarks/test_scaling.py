import csv
from pathlib import Path

import pytest
import scaling
from scaling import COLUMNS, bend, exponent, main, parse


def test_exponent_is_that_of_the_power_law() -> None:
    sides = [224, 448, 896]
    assert exponent([side**2 for side in sides], [3 * side**2 for side in sides]) == pytest.approx(1)
    assert exponent(sides, [3 * side**2 for side in sides]) == pytest.approx(2)


def test_curve_bends_at_the_first_point_that_is_steeper_than_usual() -> None:
    assert bend([1, 2, 4, 8, 16], [1, 2, 4, 8, 16]) is None
    assert bend([1, 2, 4, 8, 16], [1, 2, 4, 12, 24]) == 3
    assert bend([1, 2, 4, 8, 16], [1, 1, 2, 4, 8]) is None  # overhead that small sizes hide behind is no bend


@pytest.mark.parametrize(
    ("axis", "values", "amounts"),
    [("resolution", ["32", "48", "64"], ["1024", "2304", "4096"]), ("width", ["8", "16", "24"], ["8", "16", "24"])],
)
def test_every_point_of_every_network_is_measured(
    axis: str,
    values: list[str],
    amounts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(scaling, "SIDE", 32)
    monkeypatch.setattr(scaling, "peaks_in_new_process", lambda script, argv: (10.0 + int(argv[4]), 10.0))
    models = ["test_fanet", "convnext_atto"]
    options = ["--models", *models, "--values", *values, "--rounds", "1", "--output", str(tmp_path), "--threads", "1"]
    assert main([axis, *options]) == 0
    with open(tmp_path / f"scaling-{axis}-cpu-1threads.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["value"]) for row in rows] == [(model, value) for model in models for value in values]
    assert [row["amount"] for row in rows[:3]] == amounts
    assert tuple(rows[0]) == COLUMNS and all(rows[0].values())
    assert [float(row["memory_mb"]) for row in rows[:3]] == [float(value) for value in values]
    assert f"test_fanet: memory grows with {axis} to the power of" in capsys.readouterr().out


def test_memory_is_that_of_the_pass_alone() -> None:
    argv = ["batch", "--models", "test_fanet", "--values", "64", "--threads", "1"]
    peak, base = scaling.peaks_in_new_process(scaling.__file__, argv)
    images = 64 * 3 * 224**2 * 4 / 1e6  # made before the pass
    assert (
        images < base and 16 * 4 * 64 * 56**2 * 4 / 1e6 < peak - base < 500
    )  # the largest map of a block, and little else


def test_network_of_fixed_width_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["width", "--models", "resnet18", "--values", "16", "32", "64"]) == 2
    assert "resnet18 takes no dims" in capsys.readouterr().err


def test_points_are_limited_by_pixels(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["batch", "--max-pixels", str(8 * 224**2)]).values == [1, 2, 4, 8]
    with pytest.raises(SystemExit):
        parse(["resolution", "--max-pixels", str(320**2)])
    assert "three points" in capsys.readouterr().err
