from fanet.segmentation.evaluation.report.curves import curve
from fanet.segmentation.evaluation.report.page import Html, folded, section, shaded, table, write_page


def test_page_is_one_file_that_loads_nothing(tmp_path):
    write_page(tmp_path / "a.html", "A <title>", "said", [section("B", folded("recipe", "a: <1>"))])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<title>A &lt;title&gt;</title>" in text and "<pre>a: &lt;1&gt;</pre>" in text
    assert "http" not in text and "<script" not in text and "@import" not in text and "url(" not in text
    assert 'lang="en"' in text and "prefers-color-scheme" in text and 'name="viewport"' in text


def test_table_has_headers_and_escapes_names():
    text = table("scores", ["class", "IoU"], [["<b>", shaded("50.0", 0.5)], [Html("<i>x</i>"), "–"]])
    assert '<th scope="col">IoU</th>' in text and '<th scope="row">&lt;b&gt;</th>' in text
    assert '<td style="--share:0.5">50.0</td>' in text and "<i>x</i>" in text and "<td>–</td>" in text


def test_bytes_of_a_name_that_are_no_text_do_not_break_the_page(tmp_path):
    write_page(tmp_path / "a.html", "b\udcff.png", "", [])
    assert "b\\xff.png" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_curve_goes_through_its_points_and_leaves_out_what_is_no_number():
    drawn = curve("loss", [10, 20, 30, 40], [4.0, None, float("nan"), 2.0])
    points = drawn.split('points="')[1].split('"')[0].split()
    assert len(points) == 2
    (x, y), (last_x, last_y) = ([float(value) for value in point.split(",")] for point in points)
    assert x < last_x and y < last_y, "the loss falls, and rows are counted from the top"
    assert 'aria-label="loss: 4 at iteration 10, 2 at iteration 40"' in drawn
    assert curve("lr", [1], [0.1]) and curve("lr", [1], [None]) == ""
