from pathlib import Path

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
    assert "old" in page.read_text()
    assert main([]) == 0
    text = page.read_text()
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
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    text = update("<!-- table: throughput throughput-x -->\n<!-- end table -->\n")
    assert "| `a` | 10.0 | 100.0 (90.0 to 110.0) | 1.00 (1.00 to 1.00) | 300 |" in text


def test_numbers_are_aligned_right_and_words_are_not() -> None:
    table = markdown([["name", "x", "both"], ["a", "1.5", "1, 2"], ["b", "—", "2"]])
    assert table.splitlines()[1] == "| --- | ---: | --- |"
