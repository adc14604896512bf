import argparse
import csv
from pathlib import Path

import measuring
import modes
import numpy as np
import pytest
import throughput
import torch
from measuring import time_in_turns
from networks import build
from throughput import COLUMNS, conditions, main, parse, summarise

from fanet.errors import UserError


def test_plain_norm_computes_the_same_as_the_layer_norm() -> None:
    torch.manual_seed(0)
    model = build("test_fanet", (64, 64))
    plain = build("plain-norm:test_fanet", (64, 64))
    plain.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), model(x), rtol=1e-4, atol=1e-5)
    assert not any(type(module).__name__ == "LayerNorm2d" for module in plain.modules())


def test_plain_norm_works_on_nchw_memory_as_the_original_does() -> None:
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert build("plain-norm:test_fanet", (64, 64)).forward_features(x).is_contiguous()
        maps = build("upernet:plain-norm:test_fanet", (64, 64)).forward_features(x)
    assert all(map_.is_contiguous() for map_ in maps)


def test_upernet_with_plain_norm_segments() -> None:
    with torch.no_grad():
        assert build("upernet:plain-norm:test_fanet", (64, 96))(torch.zeros(1, 3, 64, 96)).shape == (1, 5, 64, 96)


def test_model_of_fixed_size_is_built_for_the_requested_size() -> None:
    model = build("upernet:swin_tiny_patch4_window7_224", (64, 96), device="meta")
    assert model(torch.zeros(1, 3, 64, 96, device="meta")).shape == (1, 5, 64, 96)


def test_unknown_model_is_named() -> None:
    with pytest.raises(UserError, match="nonesuch"):
        build("upernet:nonesuch", (64, 64))


def test_networks_take_turns_and_warm_up_is_discarded() -> None:
    order: list[int] = []

    class Fake:
        def __init__(self, name: int) -> None:
            self.name = name

        def __call__(self) -> float:
            order.append(self.name)
            return 100.0 * len(order)

    times = time_in_turns([Fake(0), Fake(1), Fake(2)], rounds=2, warmup=1)
    assert order == [0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert times.tolist() == [[600.0, 400.0, 500.0], [800.0, 900.0, 700.0]]


def test_ratio_is_taken_within_each_round() -> None:
    first, second = summarise(np.array([[10.0, 20.0], [100.0, 200.0], [20.0, 40.0]]), batch_size=4, gmacs=[2.5, 0.5])
    assert first["latency_ms"] == "20.00" and first["images_per_s"] == "200.00" and first["ratio"] == "1.000"
    assert (second["ratio"], second["ratio_q1"], second["ratio_q3"]) == ("2.000", "2.000", "2.000")
    assert (second["latency_ms_q1"], second["latency_ms_q3"]) == ("30.00", "120.00")
    assert (first["ms_per_gmac"], second["ms_per_gmac"]) == ("2.00", "20.00")


def test_conditions_are_in_the_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    args = parse(["fanet_pico", "--img-size", "512", "928", "--channels-last", "--label", "norm"])
    assert args.img_size == (512, 928)
    assert conditions(args) == "cpu-928x512-batch1-2threads-channels-last-norm"
    assert conditions(parse(["fanet_pico", "--batch-size", "8"])) == "cpu-224x224-batch8-2threads"


def test_invalid_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["fanet_pico", "--img-size", "1", "2", "3"])
    assert "one or two numbers" in capsys.readouterr().err


def read(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.iterdir()
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_results_hold_a_row_for_each_network_in_each_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def memory(runner: throughput.Runner, _: argparse.Namespace) -> tuple[float, float]:
        seen.append((runner.spec, runner.mode))
        return 300.4, 200.0

    monkeypatch.setattr(throughput, "peak_memory_in_new_process", memory)
    options = ["--img-size", "32", "--rounds", "2", "--warmup", "0", "--output", str(tmp_path)]
    names = ["eager", "train:bf16:checkpointing"]
    assert main(["test_fanet", "plain-norm:test_fanet", "--modes", *names, *options]) == 0
    assert seen == [(model, mode) for model in ("test_fanet", "plain-norm:test_fanet") for mode in names]
    rows = read(tmp_path)
    assert [(row["model"], row["mode"]) for row in rows] == seen
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["params_m"] == rows[2]["params_m"] == "0.591056"
    assert rows[0]["gmacs"] == rows[1]["gmacs"]
    assert rows[0]["peak_memory_mb"] == "300"
    assert all(rows[0].values())


def test_mode_that_is_not_on_offer_is_left_out_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build_engine(name: str, network: torch.nn.Module, precision: str = "fp32") -> torch.nn.Module:
        if precision == "bf16":
            raise UserError("this processor has no bfloat16")
        return network

    monkeypatch.setattr(modes, "build_engine", build_engine)
    monkeypatch.setattr(throughput, "peak_memory_in_new_process", lambda *_: (2.0, 1.0))
    options = ["--img-size", "32", "--rounds", "1", "--warmup", "0", "--output", str(tmp_path)]
    assert main(["test_fanet", "--modes", "eager", "eager:bf16", *options]) == 0
    assert [row["mode"] for row in read(tmp_path)] == ["eager"]
    assert "left out: test_fanet eager:bf16: this processor has no bfloat16" in capsys.readouterr().out
    assert main(["test_fanet", "--modes", "eager:bf16", "eager", *options]) == 2  # nothing to compare with


@pytest.mark.parametrize("mode", ["egaer", "eager:fp8", "eager:bf16:bf16", "train:fp32", "compile:checkpointing"])
def test_unknown_mode_is_refused_before_anything_is_measured(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test_fanet", "--modes", mode]) == 2
    assert f"unknown mode '{mode}'" in capsys.readouterr().err


def test_step_of_training_leaves_gradients_of_one_batch() -> None:
    network = build("test_fanet", (32, 32))
    step = modes.prepare(network, "train")
    x = torch.rand(2, 3, 32, 32)
    step(x)
    first = network.stem.weight.grad.clone()
    step(x)
    assert network.training
    torch.testing.assert_close(network.stem.weight.grad, first)


def test_inference_leaves_no_gradients() -> None:
    run = modes.prepare(build("test_fanet", (32, 32)), "eager")
    assert not run(torch.rand(1, 3, 32, 32)).requires_grad


def test_memory_is_measured_in_a_new_process() -> None:
    ballast = torch.ones(100_000_000)  # 400 MB that must not count for the network
    args = parse(["test_fanet", "--img-size", "32", "--modes", "train"])
    peak, base = throughput.peak_memory_in_new_process(throughput.Runner("test_fanet", "train", args), args)
    own = measuring.peak_mb("cpu")
    assert base <= peak < own
    assert ballast.numel() == 100_000_000
