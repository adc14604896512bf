from pathlib import Path

import pytest
from data_loading import main


def test_rates_of_zero_and_one_worker_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["zerowaste", "--workers", "1", "--samples", "4", "--img-size", "64", "96", "--output", str(tmp_path)]
    assert main(arguments) == 0
    lines = (tmp_path / "data_loading-zerowaste-96x64.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["workers", "0", "1"]
    assert "1 workers:" in capsys.readouterr().out


def test_unknown_recipe_is_reported_with_a_similar_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zerowast", "--output", str(tmp_path)]) == 2
    assert "zerowaste" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
