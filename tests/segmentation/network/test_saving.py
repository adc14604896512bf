import shutil
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation import Preprocessing, UperNet, load_model
from fanet.weights import convert

STATISTIC = "decode_head.bottleneck.bn.running_var"
WEIGHT = "decode_head.bottleneck.conv.weight"
SCHEME = ClassScheme(("belt", "can"), ((0, 0, 0), (1, 2, 3)))


@pytest.fixture
def net() -> UperNet:
    torch.manual_seed(0)
    preprocessing = Preprocessing(fit=(64, 48), multiple=32)
    return UperNet("test_fanet", 2, head_channels=8, aux_channels=8, classes=SCHEME, preprocessing=preprocessing).eval()


@pytest.fixture
def run(net: UperNet, tmp_path: Path) -> Path:
    """The folder of a training run."""
    folder = tmp_path / "run"
    for name in ("best", "final"):
        net.save_pretrained(folder / name)
    state = net.state_dict()
    checkpoint = {"model": state, "ema": state, "optimizer": {}, "progress": {"iteration": 1}, "recipe": {"data": {}}}
    torch.save(checkpoint, folder / "last.pt")
    (folder / "recipe.yaml").write_text("data: {}\n")
    return folder


def test_shipped_model_has_only_finite_values():
    tensors = load_file(str(files("fanet") / "models" / "clutter" / "model.safetensors"))
    assert [name for name, tensor in tensors.items() if not tensor.isfinite().all()] == []


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("name", [STATISTIC, WEIGHT])
def test_model_with_a_non_finite_value_is_not_saved(name, value, net, tmp_path):
    net.state_dict()[name].view(-1)[-1] = value
    with pytest.raises(UserError, match=f"^{name} has values that are not finite"):
        net.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_saving_in_half_precision_rounds_parameters_and_keeps_statistics(net, tmp_path):
    net.state_dict()[STATISTIC].fill_(1e6 + 0.3)  # float16 ends at 65504
    net.save_pretrained(tmp_path / "model", dtype=torch.float16)
    stored = load_file(tmp_path / "model" / "model.safetensors")
    assert stored[WEIGHT].dtype == torch.float16 and stored[STATISTIC].dtype == torch.float32
    state = UperNet.from_pretrained(tmp_path / "model").state_dict()
    parameters = dict(net.named_parameters())
    for name, tensor in net.state_dict().items():
        expected = tensor.half().float() if name in parameters else tensor
        assert state[name].dtype == tensor.dtype and torch.equal(state[name], expected), name
    net.save_pretrained(tmp_path / "whole")
    assert (tmp_path / "model" / "config.json").read_text() == (tmp_path / "whole" / "config.json").read_text()


def test_integer_types_and_values_too_large_for_the_type_are_refused(net, tmp_path):
    net.state_dict()[WEIGHT].view(-1)[0] = 70000
    with pytest.raises(UserError, match=f"^{WEIGHT} has values too large for torch.float16"):
        net.save_pretrained(tmp_path / "model", dtype=torch.float16)
    with pytest.raises(UserError, match="must be a floating-point type such as torch.float16, got torch.int8"):
        net.save_pretrained(tmp_path / "model", dtype=torch.int8)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("load", [load_model, UperNet.from_pretrained])
def test_run_folder_is_refused_and_its_models_load(load, run):
    with pytest.raises(UserError, match=f"^{run} is the folder of a training run: choose {run}/best or {run}/final$"):
        load(run)
    model = load(run / "best")
    assert model.classes == SCHEME and model.preprocessing.fit == (64, 48)


@pytest.mark.parametrize("load", [load_model, UperNet.from_pretrained])
def test_checkpoint_of_a_run_is_not_loaded_as_a_model(load, run, tmp_path):
    (tmp_path / "begun").mkdir()
    shutil.copy(run / "last.pt", tmp_path / "begun")
    for path in (run / "last.pt", tmp_path / "begun"):
        with pytest.raises(UserError, match="last.pt: it is the checkpoint of a training run, not a model"):
            load(path)


def test_checkpoint_of_a_run_is_not_converted(run, tmp_path):
    with pytest.raises(UserError, match="last.pt: it is the checkpoint of a training run, not a model"):
        convert(run / "last.pt", tmp_path / "converted")


def test_backbone_weights_load_from_the_checkpoint_of_a_run(net, run):
    other = UperNet("test_fanet", 3, head_channels=8, aux_channels=0, backbone_weights=run / "last.pt")
    assert torch.equal(other.backbone.model.stem.weight, net.backbone.model.stem.weight)
