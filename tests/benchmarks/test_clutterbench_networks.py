import clutterbench_networks
import grid_figures
import numpy as np
import pytest
from PIL import Image

from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.table import COLUMNS, Table

LOST = {"fanet": (10, 12), "fanet_without_frm": (12, 14), "convnext": (13, 15), "focalnet": (5, 6)}


@pytest.fixture
def curves(tmp_path):
    """Scores that fall evenly from 60 % at the first value of each axis; the second seed of a network loses more."""
    table = Table(tmp_path / "scores.csv")
    rows = []
    for network, of_seeds in LOST.items():
        for seed, lost in enumerate(of_seeds):
            for axis in AXES.values():
                for value, score in zip(axis.values, np.linspace(60, 60 - lost, len(axis.values)), strict=True):
                    row = dict.fromkeys(COLUMNS, "") | {"axis": axis.name, "value": f"{value:g}"}
                    row |= {"model": f"runs/equal_budgets/scenes-{network}-high-{seed}/final"}
                    rows.append(row | {"miou_percent": f"{score:.2f}"})
    table.add([*rows, rows[0] | {"model": "clutter"}])
    return clutterbench_networks.read_curves(tmp_path / "scores.csv")


def test_seeds_of_a_network_are_put_together(curves):
    assert list(curves) == list(AXES)
    for name, of_networks in curves.items():
        assert list(of_networks) == list(LOST)
        assert {scores.shape for scores in of_networks.values()} == {(2, len(AXES[name].values))}
        assert clutterbench_networks.ends(of_networks) == (0, len(AXES[name].values) - 1)


def test_networks_are_apart_if_their_seeds_do_not_overlap(curves, monkeypatch):
    monkeypatch.setattr(clutterbench_networks, "read_curves", lambda: curves)
    head, *rows = clutterbench_networks.clutterbench_networks()
    assert head[2:] == ["fanet", "fanet without frm", "convnext", "focalnet", "apart from fanet"]
    assert rows[1][:3] == ["Translucency", "0 to 90", "11.0 (10.0 to 12.0)"]
    assert {row[-1] for row in rows} == {"convnext (more), focalnet (less)"}


def test_curves_are_drawn(curves, monkeypatch, tmp_path):
    monkeypatch.setattr(grid_figures, "read_curves", lambda: curves)
    grid_figures.draw_clutterbench_networks(tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.width > 1500
