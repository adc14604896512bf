from fanet.classes import ZEROWASTE

from .tiny_run import tiny_recipe


def test_report_shows_the_run(finished):
    text = (finished[0] / "report.html").read_text(encoding="utf-8")
    assert "Iteration 6 of 6" in text and text.count("<svg") == 3
    assert all(name in text for name in ZEROWASTE.names)
    assert text.count("<img") == 2 * 4 + 6 * 2, "both validation images, and six crops with and without labels"
    assert "IoU, best (iteration" in text and "train: 4 images" in text and "val (validation): 2 images" in text
    assert f"backbone: {tiny_recipe()['model']['backbone']}" in text and "&quot;torch&quot;" in text
    assert "http" not in text and "<script" not in text
    assert len(text) < 3e6
