import grid_figures
import pytest
from PIL import Image


def test_every_run_is_drawn_and_places_without_runs_stay_empty(tmp_path):
    rows = [
        {"data": data, "images": images, "start": start, "miou": score}
        for data, images, start, score in (("a", "ten", "x", "50"), ("a", "all", "x", "60.5"), ("b", "all", "y", "70"))
    ]
    grid_figures.draw_dots(rows, tmp_path / "dots.png", "data", "start", "images")
    grid_figures.draw_dots(rows, tmp_path / "plain.png", None, "start", None)
    for name in ("dots.png", "plain.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 500


def test_scores_are_drawn_over_costs(tmp_path):
    rows = [
        {"set": name, "model": model, "miou": score}
        for name, model, score in (("a", "x", "50"), ("a", "x", "60"), ("b", "y", "70"))
    ]
    spent = {"params_m": "1.8", "gmacs": "1.1", "latency_ms": "80", "step_ms": "300"}
    costs = [{"model": model} | spent for model in ("x", "y")]
    grid_figures.draw_costs(rows, costs, tmp_path / "costs.png", "set", "model")
    with Image.open(tmp_path / "costs.png") as image:
        assert image.width > 1000


def test_only_what_was_run_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(grid_figures, "RESULTS", tmp_path)
    assert grid_figures.main(["-o", str(tmp_path)]) == 0
    assert not list(tmp_path.iterdir())
    with pytest.raises(SystemExit):
        grid_figures.main(["losses"])
    shown = capsys.readouterr().err
    assert "there is no figure 'losses', only starts, semi_supervised, ablation, equal_budgets" in shown
