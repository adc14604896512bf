import argparse
import pickle
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation import UperNet, load_model
from fanet.weights import WeightsError, convert
from fanet.weights.loading import load_checkpoint
from fanet.weights.names import raw_tensors

from .conftest import PARITY
from .hub_stand_in import Hub

AUTHORS = PARITY / "authors_imagenet_micro.pth.tar"
WEIGHTS = {"stem.weight": torch.arange(6.0).view(1, 2, 3)}


class Malicious:
    """Pickles into a call; made by name, so that nothing has to exist where it is read."""

    def __init__(self, function: Callable, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def attack(path: Path, marker: Path, form: str) -> Path:
    """A weight file that would make `marker` when unpickled."""
    payload = (
        Malicious(Path.touch, marker) if form == "method" else Malicious(exec, f"open({str(marker)!r}, 'w').close()")
    )
    contents = {"state_dict": dict(WEIGHTS), "args": payload}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(contents))
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=form != "old format")
    return path


FORMS = ("call", "method", "old format", "bare pickle")


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "code in a weight file was run"


@pytest.mark.parametrize("form", FORMS)
def test_attack_works_without_protection(tmp_path: Path, form: str) -> None:
    path = attack(tmp_path / "model.pth", tmp_path / "made", form)
    if form == "bare pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("form", FORMS)
def test_code_in_a_file_is_not_run(tmp_path: Path, marker: Path, form: str) -> None:
    path = attack(tmp_path / "model.pth", marker, form)
    says = "broken or no checkpoint" if form == "bare pickle" else "it wants to run code"
    with pytest.raises(WeightsError, match=says):
        load_checkpoint(path)
    for read in (convert_file, UperNet.from_pretrained, load_model, by_file, UperNet_on_top):
        with pytest.raises(WeightsError, match="model.pth"):
            read(path)
    with pytest.raises(RuntimeError, match="weights_only"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_checkpoint_path(path)


def convert_file(path: Path) -> None:
    convert(path, path.with_name("converted"))


def by_file(path: Path) -> None:
    timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=dict(file=str(path)))


def by_checkpoint_path(path: Path) -> None:
    try:
        timm.create_model("test_fanet", checkpoint_path=str(path))
    except pickle.UnpicklingError as error:
        raise RuntimeError(f"weights_only: {error}") from error


def UperNet_on_top(path: Path) -> None:  # noqa: N802
    UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=0, backbone_weights=path)


@pytest.mark.parametrize("form", FORMS)
def test_code_in_a_folder_is_not_run(
    tmp_path: Path, marker: Path, converted: dict[str, Path], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    attack(folder / "pytorch_model.bin", marker, form)
    for read in (UperNet.from_pretrained, load_model, lambda path: convert(path, tmp_path / "converted")):
        with pytest.raises(WeightsError, match="pytorch_model.bin"):
            read(folder)
    (folder / "config.json").write_bytes((converted["backbone"] / "config.json").read_bytes())
    with pytest.raises(WeightsError, match="pytorch_model.bin"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    (folder / "config.json").write_bytes((converted["segmentation"] / "config.json").read_bytes())
    attack(folder / "model.safetensors", marker, form)
    with pytest.raises(WeightsError, match="broken safetensors file"):
        UperNet.from_pretrained(folder)
    Image.new("RGB", (32, 32)).save(tmp_path / "image.png")
    for model in (folder, folder / "pytorch_model.bin"):
        assert main(["predict", str(tmp_path / "image.png"), "--model", str(model), "-o", str(tmp_path / "out")]) == 2
        assert main(["convert", str(model), str(tmp_path / "converted")]) == 2
    assert all(line.startswith("fanet: error: ") for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize("form", FORMS)
def test_code_on_the_hub_is_not_run(tmp_path: Path, marker: Path, cache: Path, repos: Hub, form: str) -> None:
    (repos.root / "me" / "bad").mkdir()
    attack(repos.root / "me" / "bad" / "best.pth", marker, form)
    overlay = dict(hf_hub_id="me/bad", num_classes=10)
    with pytest.raises(WeightsError, match="me/bad.*best.pth"):
        timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)
    with pytest.raises(WeightsError, match="me/bad.*best.pth"):
        UperNet.from_pretrained("me/bad", cache_dir=cache)
    backbone = repos.root / "me" / "backbone"
    (backbone / "model.safetensors").unlink()
    attack(backbone / "pytorch_model.bin", marker, form)
    with pytest.raises(WeightsError, match="me/backbone.*pytorch_model.bin"):
        timm.create_model("hf-hub:me/backbone", pretrained=True, cache_dir=cache)
    assert not [path for path in cache.rglob("*") if path.suffix in (".pth", ".bin") and path.exists()]


class ItemByItem(dict):
    """As mmcv's ConfigDict: a dictionary that pickles item by item, with itself as its state."""

    def __getstate__(self) -> object:
        return self

    def __setstate__(self, state: dict) -> None:
        self.update(state)


class AsACall(dict):
    """As mmengine's ConfigDict: a dictionary that pickles as a call."""

    def __reduce_ex__(self, protocol: object) -> tuple:
        return (type(self), (dict(self),), None, None, None)


class WithTuple:
    """As both packages' Config: an object whose state is a tuple."""

    def __init__(self, **values: object) -> None:
        self.values = values

    def __getstate__(self) -> tuple:
        return (self.values, "name.py", "text", None)

    def __setstate__(self, state: tuple) -> None:
        self.values = state[0]


class WithHistory:
    """As mmengine's HistoryBuffer: arrays, and its own methods by name."""

    def __init__(self, **values: object) -> None:
        self.history = np.arange(3.0)
        self.methods = {"mean": type(self).mean}


FRAMEWORKS = {
    "addict.addict.Dict": ItemByItem,
    "mmcv.utils.config.ConfigDict": ItemByItem,
    "mmcv.utils.config.Config": WithTuple,
    "mmengine.config.config.ConfigDict": AsACall,
    "mmengine.config.config.Config": WithTuple,
    "mmengine.logging.history_buffer.HistoryBuffer": WithHistory,
}


@pytest.mark.parametrize("home", FRAMEWORKS)
def test_tensors_beside_objects_of_a_framework_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    module, _, name = home.rpartition(".")
    path = tmp_path / "iter_40000.pth"
    with monkeypatch.context() as installed:  # the class is where the pickle says it is, but only while it is written
        made = type(name, (FRAMEWORKS[home],), {"__module__": module, "mean": lambda self: None})
        made.mean.__module__, made.mean.__qualname__ = module, f"{name}.mean"
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            installed.setitem(sys.modules, ".".join(parts[:count]), types.ModuleType(parts[count - 1]))
        setattr(sys.modules[module], name, made)
        checkpoint = torch.load(PARITY / "authors_zerowaste_micro.pth", weights_only=True)
        value = made(a=1, b=[1, {"c": "text"}])
        torch.save({**checkpoint, "meta": {"cfg": value, "inner": {"cfg": value}}}, path)
    tensors = raw_tensors(load_checkpoint(path))
    assert all(torch.equal(tensors[key], tensor) for key, tensor in checkpoint["state_dict"].items())
    assert not any(key.split(".")[0] in ("mmengine", "mmcv", "addict") for key in sys.modules)
    UperNet.from_pretrained(path)
    if FRAMEWORKS[home] is not WithHistory:  # timm opens this one, and knows of configurations only
        timm.create_model("test_fanet", checkpoint_path=str(path))


EXTRAS = {
    "namespace": argparse.Namespace(model="fanet_tiny", lr=1e-3),
    "float64": np.float64(82.5),
    "float32": np.float32(82.5),
    "int64": np.int64(3),
    "bool": np.bool_(True),
}


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_train_scripts_leave_beside_the_tensors_is_read(tmp_path: Path, extra: str) -> None:
    checkpoint = torch.load(AUTHORS, weights_only=False)
    path = tmp_path / "model_best.pth.tar"
    torch.save({**checkpoint, "metric": EXTRAS[extra]}, path)
    model = timm.create_model(
        "test_fanet", pretrained=True, pretrained_cfg_overlay=dict(file=str(path), num_classes=10)
    )
    opened_by_timm = timm.create_model("test_fanet", num_classes=10, checkpoint_path=str(path))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, opened_by_timm.state_dict()[name])


@pytest.mark.parametrize("names", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpy_scalars_of_every_version_are_read(tmp_path: Path, names: str) -> None:
    path = tmp_path / "model.pth"
    torch.save({"state_dict": WEIGHTS, "metric": np.float64(1.5)}, path)
    data = path.read_bytes()
    written = np.float64(0).__reduce__()[0].__module__.encode()
    if written.decode() != names:  # same length is needed: the archive knows where its parts are
        torch.save({"state_dict": WEIGHTS, "metric": np.float64(1.5)}, path, _use_new_zipfile_serialization=False)
        data = path.read_bytes().replace(b"c" + written + b"\n", b"c" + names.encode() + b"\n")
    path.write_bytes(data)
    assert load_checkpoint(path)["metric"] == 1.5


def test_allow_list_ends_with_the_reading_of_a_file() -> None:
    before = set(torch.serialization.get_safe_globals())
    load_checkpoint(AUTHORS)
    assert set(torch.serialization.get_safe_globals()) == before


def test_names_that_others_have_allowed_keep_their_meaning() -> None:
    with torch.serialization.safe_globals([argparse.Namespace]):
        load_checkpoint(AUTHORS)
        assert argparse.Namespace in torch.serialization.get_safe_globals()


BROKEN = {
    "missing": (None, "there is no file|no such folder or file"),
    "empty": (b"", "is empty"),
    "text": (b"hello world, this is a text", "broken or no checkpoint"),
    "zeros": (bytes(4000), "broken or no checkpoint"),
    "zip": (b"PK\x03\x04" + bytes(200), "broken or no checkpoint"),
    "cut off": (AUTHORS.read_bytes()[:20000], "broken or no checkpoint"),
}


@pytest.mark.parametrize("name", ["model.pth", "model.safetensors"])
@pytest.mark.parametrize("what", BROKEN)
def test_broken_file_is_one_line(tmp_path: Path, what: str, name: str) -> None:
    contents, says = BROKEN[what]
    path = tmp_path / name
    if contents is not None:
        path.write_bytes(contents)
    if name.endswith("safetensors"):
        says = says.replace("broken or no checkpoint", "broken safetensors file")
    for read in (load_checkpoint, by_file, convert_file):
        with pytest.raises(UserError, match=says) as caught:
            read(path)
        assert "\n" not in str(caught.value) and name in str(caught.value)


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    for value, says in (
        ([1, 2], "holds a list"),
        ({"epoch": 3}, "holds no weights"),
        (torch.ones(2), "holds a Tensor"),
    ):
        torch.save(value, tmp_path / "model.pth")
        with pytest.raises(WeightsError, match=says):
            load_checkpoint(tmp_path / "model.pth")


def test_checkpoint_that_contains_itself_is_read_in_finite_time(tmp_path: Path) -> None:
    loop: dict = {"weight": torch.ones(1)}
    loop["state_dict"] = loop
    torch.save(loop, tmp_path / "model.pth")
    assert load_checkpoint(tmp_path / "model.pth")["weight"] == 1


def test_safetensors_file_under_another_name_is_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "pytorch_model.bin")
    assert load_checkpoint(tmp_path / "pytorch_model.bin").keys() == WEIGHTS.keys()
