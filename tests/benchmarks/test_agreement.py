import csv
from pathlib import Path

import numpy as np
import pytest
from agreement import COLUMNS, main, shares
from PIL import Image


def test_shares_are_of_all_pixels_and_of_the_worst_image() -> None:
    zeros = np.zeros((2, 2), np.uint8)
    half = np.array([[0, 0], [1, 1]], np.uint8)
    assert shares([zeros, half], [zeros, zeros]) == ("75.000", "50.000")
    assert shares([], []) == ("", "")


def test_engines_that_are_missing_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (90, 70), (90, 120, 30)).save(tmp_path / "a.jpg")
    words = ["--engine", "eager", "magic", "--photographs", str(tmp_path), "--count", "1", "--size", "64"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    assert "magic is left out: unknown engine" in capsys.readouterr().out
    with open(tmp_path / "out" / "agreement-1x64px.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [list(COLUMNS), ["eager", "100.000", "100.000", "100.000", "100.000"]]
