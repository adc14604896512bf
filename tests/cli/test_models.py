import csv
import io

import pytest
import timm

import fanet  # noqa: F401  registers the models
from fanet.backbone.complexity import Variant
from fanet.cli import main

BASE = ["fanet_base", "2-2-8-2", "96-192-384-768", "36.72", "5.80", "30.30", "mubashir04/fanet_zerowaste_segmentation"]


@pytest.fixture
def two_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed rows, so that nothing has to be counted."""
    base = Variant("fanet_base", (2, 2), (96, 192), 36_721_864, (5_800_459_008, 30_301_058_816), "org/name")
    pico = Variant("fanet_pico", (1, 1), (8, 16), 1_000, (2_000_000, 10_000_000), None)
    monkeypatch.setattr("fanet.backbone.complexity.variants", lambda: [base, pico])


def test_csv_holds_every_variant_with_what_it_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--csv"]) == 0
    captured = capsys.readouterr()
    header, *rows = csv.reader(io.StringIO(captured.out))
    assert captured.err == ""
    assert header == ["model", "depths", "dims", "params_m", "gmacs_224", "gmacs_512", "weights"]
    assert {row[0] for row in rows} == set(timm.list_models("fanet_*"))
    base, pico = (row for row in rows if row[6])  # no other variant has weights
    assert base == BASE
    assert (pico[0], pico[3], pico[6]) == ("fanet_pico", "1.47", "fanet_pico.tiny_imagenet")
    assert [float(row[3]) for row in rows] == sorted((float(row[3]) for row in rows), reverse=True)


@pytest.mark.usefixtures("two_variants")
def test_table_lines_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "model       depths  dims    params (M)  GMACs 224  GMACs 512  weights",
        "fanet_base  2-2     96-192       36.72       5.80      30.30  org/name",
        "fanet_pico  1-1     8-16          0.00       0.00       0.01  —",
    ]
