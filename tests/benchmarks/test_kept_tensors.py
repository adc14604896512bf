import csv
from pathlib import Path

import torch
from kept_tensors import kept, main
from torch import nn


def test_inputs_are_counted_once_and_parameters_not() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Conv2d(4, 5, 1))
    x = torch.rand(2, 3, 8, 8)
    # the inputs of both convolutions, of 3 and 4 channels, and that of the GELU
    assert kept(network, x) == {"convolution": 4 * 2 * 64 * (3 + 4), "GELU": 4 * 2 * 64 * 4}


def test_map_that_two_operations_need_counts_for_the_first() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x * 2
            return self.conv(x) + nn.functional.gelu(x).sum()

    x = torch.rand(1, 3, 4, 4, requires_grad=True)
    assert kept(Shared(), x) == {"convolution": 4 * 3 * 16, "other": 8}  # and the product its constant


def test_table_has_each_model_and_an_unknown_one_is_one_line(tmp_path: Path, capsys) -> None:
    options = ["--img-size", "64", "--batch-size", "1", "--output", str(tmp_path)]
    assert main(["plain-norm:test_fanet", "test_fanet", *options]) == 0
    with open(tmp_path / "kept-64x64-batch1.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    sizes = {(row["model"], row["operation"]): float(row["mb"]) for row in rows}
    # spelled-out norms keep more, and nothing that the convolutions keep depends on them
    assert sizes["plain-norm:test_fanet", "convolution"] == sizes["test_fanet", "convolution"]
    totals = [
        sum(size for (name, _), size in sizes.items() if name == model)
        for model in ("plain-norm:test_fanet", "test_fanet")
    ]
    assert totals[0] > 1.1 * totals[1]
    capsys.readouterr()
    assert main(["no_such_model", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
