"""Engines give the labels of eager PyTorch, and the fastest of them is chosen."""

import copy
import gc
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fanet.cli import main
from fanet.errors import UserError
from fanet.media.images import read_labels, write_png
from fanet.segmentation import BatchPredictor, UperNet
from fanet.segmentation.prediction.engines import (
    AutoEngine,
    Candidate,
    build_engine,
    build_file_engine,
    candidates,
    compiled,
    openvino,
    precision,
)
from fanet.segmentation.prediction.engines.cache import cache_folder, digest
from fanet.segmentation.prediction.engines.compiled import CompiledEngine
from fanet.threads import map_ahead

SIZE = (48, 80)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FANET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def net() -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", 5, head_channels=8, aux_channels=8).eval()


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(*SIZE, 3), dtype=np.uint8)


def slow_identity(seconds: float, shift: float = 0.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """An engine whose first class is the most likely one; with a shift its second."""

    def run(x: torch.Tensor) -> torch.Tensor:
        time.sleep(seconds)
        return torch.cat([x[:, :1] * 0, x[:, :1] * 0 - 1 + shift], dim=1)

    return run


@pytest.mark.parametrize("name", ["eager", pytest.param("compile", marks=pytest.mark.slow), "onnx", "openvino"])
def test_labels_are_those_of_eager(net, image, name):
    expected = net.predict(image)
    assert (net.predictor(engine=name).labels(image) == expected).mean() > 0.999
    windows = net.predictor((32, 48), engine=name)
    assert (windows.labels(image) == net.predict(image, (32, 48))).mean() > 0.999


@pytest.mark.skipif(not precision.has_bf16(), reason="the processor has no bfloat16")
@pytest.mark.parametrize("name", ["eager", "openvino"])
def test_bfloat16_changes_few_labels_and_leaves_the_model_as_it_was(net, image, name):
    labels = net.predictor(engine=name, precision="bf16").labels(image)
    assert (labels == net.predict(image)).mean() > 0.97  # random weights: scores are nearly equal
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_training_mode_and_batches_do_not_matter(net):
    x = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        expected = net.decode_head(net.forward_features(x))
        net.train()
        try:
            for name in ("eager", "openvino"):
                found = net.predictor(engine=name).engine(x)
                assert torch.allclose(found, expected, atol=1e-4)
            assert net.decode_head.training
        finally:
            net.eval()


def test_more_shapes_than_are_compiled_give_the_same_labels(net, monkeypatch):
    monkeypatch.setattr(openvino, "MOST_SHAPES", 1)
    predictor = net.predictor(engine="openvino")
    rng = np.random.default_rng(1)
    for size in (SIZE, (33, 65), (40, 41), SIZE):
        image = rng.integers(256, size=(*size, 3), dtype=np.uint8)
        assert (predictor.labels(image) == net.predict(image)).mean() > 0.999


@pytest.mark.parametrize("calls", [1, 2, 64])
def test_calls_at_once_give_the_labels_of_single_ones(net, image, calls):
    predictor = net.predictor(engine="openvino")
    several = predictor.for_calls(calls)
    assert (several is predictor) == (min(calls, torch.get_num_threads()) == 1)
    images = [np.roll(image, shift, axis=1) for shift in range(6)]
    found = list(map_ahead(several.labels, images, 3))
    for shifted, labels in zip(images, found, strict=True):
        assert (labels == net.predict(shifted)).mean() > 0.999


def test_auto_serves_several_calls_by_the_engine_that_it_chose(net, image):
    predictor = net.predictor(engine="auto", precision="fp32")
    assert predictor.for_calls(2) is predictor  # not chosen yet
    predictor.labels(image)
    assert (predictor.for_calls(2).labels(image) == net.predict(image)).mean() > 0.999
    eager = net.predictor()
    assert eager.for_calls(2) is eager


def test_auto_stays_itself_where_the_engine_that_it_chose_serves_one_call(net, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    fast = build_engine("openvino", net)
    for run in (fast, slow_identity(0.0)):
        engine = AutoEngine([Candidate("openvino", "fp32", lambda run=run: run)])
        engine(torch.zeros(1, 3, *SIZE))
        assert engine.for_calls(2) is engine


def test_engine_ends_with_its_last_reference(net):
    engine = build_engine("openvino", net)
    reference = weakref.ref(engine)
    gc.disable()
    try:
        del engine
        assert reference() is None
    finally:
        gc.enable()


def test_compiled_network_is_kept_for_the_next_start(monkeypatch, capsys):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.BatchNorm2d(4)).eval()
    x = torch.randn(1, 3, 24, 40)
    with torch.inference_mode():
        expected = network(x)
    engine = CompiledEngine(network)
    assert not compiled.compiled_path(network, tuple(x.shape)).is_file()
    with torch.inference_mode():
        assert torch.allclose(engine(x), expected, atol=1e-5)
    assert "compiling for 24x40 pixels" in capsys.readouterr().err

    def compile_again(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(compiled, "compile_network", compile_again)
    monkeypatch.setattr(compiled, "MOST_SHAPES", 1)
    again = CompiledEngine(network)
    assert compiled.compiled_path(network, tuple(x.shape)).is_file()
    assert torch.allclose(again(x), expected, atol=1e-5)
    assert again(torch.randn(1, 3, 9, 9)).shape == (1, 4, 7, 7)  # one shape too many: not compiled
    assert capsys.readouterr().err == ""


def test_name_in_the_cache_changes_with_weights_settings_and_threads(net):
    names = {digest(net), digest(net, "bf16"), digest(net, 2)}
    changed = UperNet("test_fanet", 5, head_channels=8, aux_channels=8, backbone_kwargs={"kernel_sizes": (3, 3, 3, 3)})
    weight = net.decode_head.conv_seg.weight
    with torch.no_grad():
        before = weight[0, 0].clone()
        weight[0, 0] += 1
        names.add(digest(net))
        weight[0, 0] = before
    names.add(digest(changed))
    assert len(names) == 5
    net.register_forward_hook(lambda *_: None).remove()
    assert digest(copy.deepcopy(net).train()) in names


def test_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FANET_CACHE")
    assert cache_folder() == tmp_path / "fanet"
    (tmp_path / "file").touch()
    monkeypatch.setenv("FANET_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="a file of that name is in the way"):
        cache_folder()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tensorrt", "fp32"), "unknown engine 'tensorrt': choose one of eager, compile, onnx, openvino"),
        (("eager", "fp8"), "unknown precision 'fp8'"),
    ],
)
def test_unknown_engine_or_precision_is_refused(net, arguments, message):
    with pytest.raises(UserError, match=message):
        build_engine(arguments[0], net, arguments[1])


def test_network_in_half_precision_is_run_by_eager_only(net, image):
    half = copy.deepcopy(net).to(torch.bfloat16)
    with pytest.raises(UserError, match=r"takes float32 models on the CPU: give --device cpu, or use model.float"):
        half.predictor(engine="openvino")
    assert half.predictor(engine="auto").labels(image).shape == SIZE


def test_missing_bfloat16_is_said(net, monkeypatch):
    monkeypatch.setattr(precision, "processor_flags", lambda: frozenset({"avx2"}))
    with pytest.raises(UserError, match="has no bf16 arithmetic: choose fp32"):
        build_engine("openvino", net, "bf16")
    with pytest.raises(UserError, match="has no bf16 arithmetic: choose fp32"):
        net.predictor(engine="auto", precision="bf16")
    assert {candidate.precision for candidate in candidates(net)} == {"fp32"}


def test_network_that_cannot_be_compiled_is_refused_in_one_line(tmp_path):
    class Erring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no\nway")

    with pytest.raises(UserError, match="cannot be compiled .*: choose another engine") as caught:
        CompiledEngine(Erring())(torch.zeros(1, 3, 32, 32))
    assert "\n" not in str(caught.value)


def test_auto_takes_the_fastest_that_gives_the_same_labels(capsys):
    engine = AutoEngine(
        [
            Candidate("eager", "fp32", partial(slow_identity, 0.03)),
            Candidate("onnx", "fp32", partial(slow_identity, 0.01)),
            Candidate("openvino", "bf16", partial(slow_identity, 0.0, shift=2.0)),
            Candidate("compile", "fp32", partial(slow_identity, 0.0), is_quick=lambda shape: False),
        ]
    )
    engine(torch.zeros(1, 3, 8, 8))
    engine(torch.zeros(1, 3, 8, 8))
    said = capsys.readouterr().err
    assert said.startswith("engine: onnx fp32, ") and said.count("\n") == 1
    assert "100.00 % keep their label; not openvino bf16, which changes 100.0 % of the labels" in said


def test_auto_stays_with_eager_and_says_what_is_not_available(capsys):
    def broken() -> Callable[[torch.Tensor], torch.Tensor]:
        raise UserError("the file is damaged")

    def missing() -> Callable[[torch.Tensor], torch.Tensor]:
        raise UserError("openvino is not installed") from ModuleNotFoundError()

    AutoEngine(
        [
            Candidate("eager", "fp32", partial(slow_identity, 0.0)),
            Candidate("onnx", "fp32", broken),
            Candidate("openvino", "fp32", missing),
        ]
    )(torch.zeros(1, 3, 8, 8))
    assert capsys.readouterr().err == "note: no engine onnx fp32: the file is damaged\nengine: eager fp32\n"


def test_command_line_and_batches_take_an_engine(net, image, tmp_path, capsys):
    net.save_pretrained(tmp_path / "net")
    write_png(tmp_path / "a.png", image)
    words = ["predict", str(tmp_path / "a.png"), "--model", str(tmp_path / "net"), "--overwrite", "-o", str(tmp_path)]
    for more in (["--engine", "openvino"], ["--engine", "auto", "--precision", "fp32"]):
        assert main([*words, *more]) == 0
        assert (read_labels(tmp_path / "a_labels.png") == net.predict(image)).mean() > 0.999
    assert "engine: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words, "--engine", "magic"])
    batch = BatchPredictor(tmp_path / "net", engine="onnx", device="cpu")({"image": image[None]})
    assert (batch["labels"][0] == net.predict(image)).mean() > 0.999


@pytest.mark.slow
def test_survey_prints_a_row_for_each_engine(net, tmp_path, capsys):
    net.save_pretrained(tmp_path / "net")
    words = ["--model", str(tmp_path / "net"), "--size", "48", "80", "--runs", "2", "--threads", "1"]
    assert main(["engines", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("eager fp32") and lines[1].endswith("100.00 %")
    assert lines[-1].startswith("fastest: --engine ")
    assert main(["engines", "--model", str(tmp_path / "none")]) == 2


def test_file_is_run_by_its_own_engines_only(tmp_path):
    path = Path(tmp_path / "a.onnx")
    with pytest.raises(UserError, match="is run by onnx, openvino or auto"):
        build_file_engine("eager", path)
    with pytest.raises(UserError, match="is run by onnx, openvino or auto"):
        build_file_engine("onnx", path, "bf16" if precision.has_bf16() else "fp16")
