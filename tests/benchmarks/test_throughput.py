import csv
from pathlib import Path

import numpy as np
import pytest
import throughput
import torch
from networks import build
from throughput import COLUMNS, conditions, main, parse, summarise, time_in_turns

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
    first, second = summarise(np.array([[10.0, 20.0], [100.0, 200.0], [20.0, 40.0]]), batch_size=4)
    assert first["latency_ms"] == "20.00" and first["images_per_s"] == "200.00" and first["ratio"] == "1.000"
    assert (second["ratio"], second["ratio_q1"], second["ratio_q3"]) == ("2.000", "2.000", "2.000")
    assert (second["latency_ms_q1"], second["latency_ms_q3"]) == ("30.00", "120.00")


def test_conditions_are_in_the_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    args = parse(["fanet_pico", "--img-size", "512", "928", "--amp", "--channels-last", "--compile", "--label", "norm"])
    assert args.img_size == (512, 928)
    assert conditions(args) == "cpu-928x512-batch1-2threads-amp-channels-last-compiled-norm"
    assert conditions(parse(["fanet_pico", "--batch-size", "8"])) == "cpu-224x224-batch8-2threads-fp32"


def test_invalid_size_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["fanet_pico", "--img-size", "1", "2", "3"])
    assert "one or two numbers" in capsys.readouterr().err


def test_results_hold_a_row_for_each_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def memory(spec: str, argv: list[str]) -> tuple[float, float]:
        seen.append((spec, argv))
        return 300.4, 200.0

    monkeypatch.setattr(throughput, "peak_memory_in_new_process", memory)
    options = ["--img-size", "32", "--rounds", "2", "--warmup", "0", "--output", str(tmp_path)]
    assert main(["test_fanet", "plain-norm:test_fanet", *options]) == 0
    assert seen == [("test_fanet", options), ("plain-norm:test_fanet", options)]
    (path,) = tmp_path.iterdir()
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["test_fanet", "plain-norm:test_fanet"]
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["params_m"] == rows[1]["params_m"] == "0.591056"
    assert rows[0]["peak_memory_mb"] == "300"
    assert all(rows[0].values())


def test_memory_is_measured_in_a_new_process() -> None:
    ballast = torch.ones(100_000_000)  # 400 MB that must not count for the network
    peak, base = throughput.peak_memory_in_new_process("test_fanet", ["--img-size", "32"])
    own = throughput._peak("cpu")
    assert base <= peak < own
    assert ballast.numel() == 100_000_000
