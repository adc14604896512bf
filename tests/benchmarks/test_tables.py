from pathlib import Path

import measuring
import pytest
import tables
from tables import main, markdown, update


def test_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--check"])
    assert status == 0, capsys.readouterr().out


def test_stale_page_is_found_and_updated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- table: published -->\nold\n<!-- end table -->\nafter\n")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    assert main(["--check"]) == 1
    assert "README.md is out of date" in capsys.readouterr().out
    assert "old" in page.read_text(encoding="utf-8")
    assert main([]) == 0
    text = page.read_text(encoding="utf-8")
    assert "old" not in text and text.startswith("before\n<!-- table: published -->\n| paper |")
    assert text.endswith("|\n<!-- end table -->\nafter\n")
    assert main(["--check"]) == 0


def test_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown table 'zooo'"):
        update("<!-- table: zooo -->\n<!-- end table -->\n")


def test_text_without_marks_is_left_alone() -> None:
    assert update("# Title\n\n<!-- a comment -->\n") == "# Title\n\n<!-- a comment -->\n"


def test_table_of_times_takes_its_file_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "throughput-x.csv").write_text(
        "model,images_per_s,latency_ms,latency_ms_q1,latency_ms_q3,ratio,ratio_q1,ratio_q3,peak_memory_mb\n"
        "a,10.00,100.00,90.00,110.00,1.000,1.000,1.000,300\n"
    )
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    text = update("<!-- table: throughput throughput-x -->\n<!-- end table -->\n")
    assert "| `a` | 10.0 | 100.0 (90.0 to 110.0) | 1.00 (1.00 to 1.00) | 300 |" in text


def test_numbers_are_aligned_right_and_words_are_not() -> None:
    table = markdown([["name", "x", "both"], ["a", "1.5", "1, 2"], ["b", "—", "2"]])
    assert table.splitlines()[1] == "| --- | ---: | --- |"


def written(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.csv").write_text(text)
    monkeypatch.setattr(measuring, "RESULTS", folder)


def test_modes_are_compared_by_how_many_times_as_fast_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(
        tmp_path,
        "throughput-x",
        "model,mode,latency_ms,latency_ms_q1,latency_ms_q3,ratio,ratio_q1,ratio_q3,ms_per_gmac,start_s,peak_memory_mb\n"
        "a,train:bf16,100.00,90.00,110.00,0.500,0.400,0.800,8.86,0.31,300\n",
        monkeypatch,
    )
    text = update("<!-- table: modes throughput-x -->\n<!-- end table -->\n")
    assert "| `a` | `train:bf16` | 2.00 (1.25 to 2.50) | 100.0 (90.0 to 110.0) | 8.9 | 0.3 | 300 |" in text


def test_exponents_and_points_come_from_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = ((1, 10, 5), (2, 20, 5), (4, 40, 20), (8, 80, 20))
    lines = [f"{model},batch,{x},{x},{ms},{mb}" for model in ("a", "b") for x, ms, mb in points]
    written(tmp_path, "scaling-x", "\n".join(["model,axis,value,amount,latency_ms,memory_mb", *lines, ""]), monkeypatch)
    text = update("<!-- table: scaling scaling-x -->\n<!-- end table -->\n")
    assert "| `a` | 1.00 | — | 0.80 | 4 |" in text
    text = update("<!-- table: scaling_points scaling-x -->\n<!-- end table -->\n")
    assert "| batch | `a` ms | `a` MB | `b` ms | `b` MB |" in text and "| 4 | 40 | 20 | 40 | 20 |" in text


def test_missing_video_is_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(
        tmp_path,
        "prediction-x",
        "engine,images_per_s,images_ratio,video_per_s,video_ratio,p50_ms,p95_ms,p99_ms,belt_mm,start_s,agreement_percent\n"
        "eager,2.5,1.000,,,400.1,410.2,420.3,1261,0.52,100.000\n",
        monkeypatch,
    )
    text = update("<!-- table: prediction prediction-x -->\n<!-- end table -->\n")
    assert "| `eager` | 2.50 | 1.00 | — | — | 400 | 410 | 420 | 1261 | 0.5 | 100.00 |" in text


def test_profile_shows_one_kind_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(
        tmp_path,
        "profile-x",
        "kind,name,calls,ms,share_percent,gflops\nwhole,pass,1,9.00,,0.0\noperation,GELU,12,3.00,33.3,0.0\n"
        "primitive,reorder,5,1.00,20.0,0.0\nprimitive,convolution,7,4.00,80.0,210.4\n",
        monkeypatch,
    )
    text = update("<!-- table: profile profile-x operation -->\n<!-- end table -->\n")
    assert text.splitlines()[1] == "| operation | calls | ms | share (%) |" and "| GELU | 12 | 3.0 | 33.3 |" in text
    text = update("<!-- table: profile profile-x primitive -->\n<!-- end table -->\n")
    assert "| reorder | 5 | 1.0 | 20.0 | — |" in text and "| convolution | 7 | 4.0 | 80.0 | 210 |" in text


def test_runs_of_a_grid_are_averaged_over_the_axes_that_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(
        tmp_path,
        "grid-x",
        "data,start,seed,miou\nbelt,scratch,0,40\nbelt,scratch,1,42.04\nbelt,scenes,0,60\nbags,scratch,0,50\n",
        monkeypatch,
    )
    text = update("<!-- table: grid grid-x data start -->\n<!-- end table -->\n")
    assert text.splitlines()[1:-1] == [
        "| data | scratch (%) | scenes (%) |",
        "| --- | ---: | ---: |",
        "| belt | 41.0 (40.0 to 42.0) | 60.0 |",
        "| bags | 50.0 | — |",
    ]
