"""The plot and the page of a benchmark."""

import re

import pytest
from PIL import Image

from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.curves import axis_curves, limits
from fanet.segmentation.evaluation.clutterbench.page import write_report
from fanet.segmentation.evaluation.clutterbench.plot import plot_curves
from fanet.segmentation.evaluation.clutterbench.table import COLUMNS, Table

AXIS = AXES["occlusion"]


def table(tmp_path, models=("a", "<b>"), axes=("occlusion", "object_count"), miou="50.00") -> Table:
    found = Table(tmp_path / "scores.csv")
    empty = dict.fromkeys(COLUMNS, "1")
    for model in models:
        for axis in axes:
            for value in AXES[axis].values:
                point = {"model": model, "axis": axis, "value": f"{value:g}", "miou_percent": miou}
                ends = {"miou_low_percent": "40.00", "miou_high_percent": "60.00"} if miou else {}
                found.rows.append(empty | {"miou_low_percent": "", "miou_high_percent": ""} | point | ends)
    return found


@pytest.fixture
def drawn(monkeypatch):
    """Draw examples in no time."""
    import fanet.scenes

    from .conftest import fake_scene

    monkeypatch.setattr(fanet.scenes, "scene", fake_scene)


def test_the_page_is_one_file_that_needs_no_network(tmp_path, drawn):
    write_report(table(tmp_path), tmp_path / "report.html", 1, (200, 200))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:)", text) and "<script" not in text and "url(" not in text
    assert [title for title in re.findall("<h2>(.*?)</h2>", text)] == [
        "Summary", "Occlusion", "Number of objects", "What was measured",
    ]  # fmt: skip
    assert text.count("<svg") == 2 and text.count("<img") == len(AXIS.values) + len(AXES["object_count"].values)
    assert "&lt;b&gt;" in text and "<b>" not in text
    assert "50.0 (40.0 to 60.0)" in text


def test_a_curve_is_read_out(tmp_path):
    text = axis_curves(AXIS, table(tmp_path, models=["a"]), 40, 60)
    assert (
        'aria-label="mIoU in % along Occlusion, % of the lower object hidden, from 0 to 60: a from 50.0 to 50.0"'
        in text
    )
    assert text.count("<circle") == len(AXIS.values)


def test_points_without_a_score_are_left_out(tmp_path, drawn):
    scores = table(tmp_path, miou="")
    assert "<circle" not in axis_curves(AXIS, scores, 0, 100) and limits(scores) == (0, 100)
    write_report(scores, tmp_path / "report.html", 1, (200, 200))
    plot_curves(scores, tmp_path / "plot.png")


def test_curves_lie_between_their_limits(tmp_path):
    assert limits(table(tmp_path)) == (40, 60)
    assert limits(table(tmp_path, miou="95.00")) == (40, 100)


@pytest.mark.parametrize(("axes", "shape"), [(list(AXES), (1860, 885)), (["occlusion"], (600, 480))])
def test_the_plot_has_room_for_its_axes(tmp_path, axes, shape):
    plot_curves(table(tmp_path, axes=axes), tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.width >= shape[0] - 10 and image.height >= shape[1] - 10
        assert len(image.convert("RGB").getcolors(1 << 24)) > 10
