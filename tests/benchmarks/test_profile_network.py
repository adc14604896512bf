import csv
from pathlib import Path

import pytest
from networks import build
from profile_network import SHAPE, main, summarise

from fanet.backbone.complexity import count_macs


def test_entries_of_one_name_are_added_and_averaged_over_the_rounds() -> None:
    entries = [("operation", "a", 1, 2.0, 0.0), ("operation", "b", 1, 6.0, 3e6), ("operation", "a", 1, 2.0, 0.0)]
    rows = summarise(entries, rounds=2)
    assert [row["name"] for row in rows] == ["b", "a"]
    assert [row["share_percent"] for row in rows] == ["60.0", "40.0"]
    assert rows[0]["gflops"] == "0.5" and rows[0]["ms"] == "3.00"
    assert rows[1]["calls"] == "1"


def test_shape_of_a_convolution_is_read() -> None:
    found = SHAPE.match("g4mb2_ic48oc96_ih56oh28kh7sh2dh0ph3_iw56ow30kw5sw2dw0pw3")
    assert found is not None and found.groups() == ("4", "2", "48", "96", "28", "7", "30", "5")
    found = SHAPE.match("mb4_ic3oc96_ih224oh56kh5sh4dh0ph2_iw224ow56kw5sw4dw0pw2")
    assert found is not None and found[1] is None


def test_convolutions_are_counted_as_the_complexity_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = "--img-size 64 --batch-size 16 --rounds 1 --threads 1 --output".split()
    assert main(["test_fanet", *options, str(tmp_path)]) == 0
    with open(tmp_path / "profile-test_fanet-eager-64x64-batch16-1threads.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {"whole", "operation", "primitive", "convolution"}
    (convolution,) = (row for row in rows if row["name"] == "convolution, forward")
    counted = float(convolution["gflops"]) * float(convolution["ms"]) / 1e3 / 16 / 2  # of an image, from operations
    # all but the classifier, of 128 channels for 1000 classes
    expected = (count_macs(build("test_fanet", (64, 64), device="meta"), (64, 64)) - 128_000) / 1e9
    assert counted == pytest.approx(expected, rel=0.03)
    assert "onednn" not in capfd.readouterr().out


def test_unknown_model_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err
