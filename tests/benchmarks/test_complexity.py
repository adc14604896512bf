import csv
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from complexity import ABLATIONS, COLUMNS, NETWORKS, SIZES, count_with_fvcore, main, measure, results_path
from networks import build
from packaging.version import Version
from torch import nn

from fanet.backbone.complexity import count_macs, count_parameters
from fanet.segmentation import SegmentationModel

RECORDED_WITH = Version("2.14")  # of PyTorch


def recorded(size: tuple[int, int]) -> list[dict[str, str]]:
    with open(results_path(size), newline="") as file:
        return list(csv.DictReader(file))


def rows_of(model: str, network: str, size: tuple[int, int]) -> list[dict[str, str]]:
    return [row for row in recorded(size) if (row["model"], row["network"], row["arguments"]) == (model, network, "")]


@pytest.mark.parametrize("network", ["classifier", "upernet"])
def test_recorded_numbers_of_the_smallest_variant_are_current(network: str) -> None:
    (row,) = rows_of("fanet_pico", network, (224, 224))
    found = measure("fanet_pico", {}, network, (224, 224))
    # before, traces call some operations by other names
    keys = [key for key in row if Version(torch.__version__) >= RECORDED_WITH or not key.endswith(("_ops", "_gops"))]
    assert {key: found[key] for key in keys} == {key: row[key] for key in keys}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_recorded_costs_of_large_variants_are_current(size: tuple[int, int]) -> None:
    for name in ("fanet_base", "fanet_nano"):
        model = build(name, size, device="meta")
        (row,) = rows_of(name, "classifier", size)
        assert row["params_m"] == f"{count_parameters(model) / 1e6:.6f}"
        assert row["gmacs"] == row["torch_gmacs"] == f"{count_macs(model, size) / 1e9:.6f}"


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_network_is_recorded_at_every_size_with_all_numbers(size: tuple[int, int]) -> None:
    rows = recorded(size)
    assert len(rows) == 2 * len(NETWORKS)
    assert {name for name, _ in NETWORKS} >= set(timm.list_models("fanet_*"))
    for row in rows:
        assert tuple(row) == COLUMNS
        assert all(row[column] for column in COLUMNS if column not in ("arguments", "note"))
        assert row["gmacs"] == row["torch_gmacs"]


def test_rows_of_the_ablation_are_different_networks() -> None:
    rows = [row for row in recorded((224, 224)) if (row["model"], row["network"]) == ("fanet_base", "classifier")]
    assert len(rows) == len(ABLATIONS) + 1
    # the two with one branch of the FRM differ in what they compute, not in size
    assert len({row["params_m"] for row in rows}) == len({row["gmacs"] for row in rows}) == len(rows) - 1


def test_published_sizes_are_met() -> None:
    counts = {
        row["model"]: row for row in recorded((224, 224)) if (row["network"], row["arguments"]) == ("classifier", "")
    }
    assert f"{float(counts['fanet_base']['params_m']):.1f} {float(counts['fanet_base']['gmacs']):.1f}" == "36.7 5.8"
    tiny = counts["focalnet_tiny_lrf"]
    assert f"{float(tiny['params_m']):.1f} {float(tiny['gmacs']):.1f}" == "28.6 4.5"
    assert f"{float(counts['focalnet_base_lrf']['params_m']):.1f}" == "88.7"


def test_operations_without_a_rule_are_listed_and_estimates_are_kept_apart() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.gelu(F.gelu(self.conv(x)))
            return F.interpolate(torch.sin(x), scale_factor=2.0, mode="bilinear")

    counted = count_with_fvcore(Network(), (8, 8))
    assert counted.macs == 8 * 8 * 3 * 4
    assert counted.estimates == {"upsample_bilinear2d": 4 * 16 * 16 * 4}
    assert counted.uncounted == {"gelu": 2, "sin": 1}


def test_layer_that_one_counter_misses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("complexity.count_macs", lambda model, size: 1)
    with pytest.raises(RuntimeError, match="test_fanet .*fvcore counts .* torch 1"):
        measure("test_fanet", {}, "classifier", (32, 32))


@pytest.mark.parametrize("decoder", ["deeplabv3plus", "linear", "upernet"])
def test_a_network_is_counted_with_each_decoder(decoder: str) -> None:
    row = measure("test_resnet", {}, decoder, (64, 64))
    assert row["network"] == decoder and row["gmacs"] == row["torch_gmacs"]
    model = SegmentationModel("test_resnet", 5, decoder)
    assert row["params_m"] == f"{count_parameters(model) / 1e6:.6f}"


def test_counts_under_another_decoder_go_to_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("complexity.RESULTS", tmp_path)
    monkeypatch.setattr("complexity.SIZES", ((64, 96),))
    monkeypatch.setattr("complexity.NETWORKS", (("test_resnet", {}),))
    monkeypatch.setattr("sys.argv", ["complexity.py", "--decoder", "linear"])
    main()
    (path,) = tmp_path.iterdir()
    assert path.name == "complexity-linear-96x64-batch1.csv"
    with open(path, newline="") as file:
        assert [row["network"] for row in csv.DictReader(file)] == ["linear"]
