import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fanet.cli.arguments import import_files
from fanet.errors import UserError
from fanet.segmentation import Decoder, SegmentationModel, register_decoder
from fanet.segmentation.network.decoders import base, decoder_class, list_decoders

CELL = """
from fanet.segmentation import Decoder, register_decoder

@register_decoder
class Slim(Decoder):
    def __init__(self, channels, reductions, width=8):
        super().__init__(channels[-1])

    def embed(self, features):
        return features[-1]
"""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, type[Decoder]]]:
    """The registered decoders, as they were again after the test."""
    base._load_entry_points.cache_clear()
    monkeypatch.setattr(base, "_decoders", dict(base._decoders))
    before = set(sys.modules)
    yield base._decoders
    base._load_entry_points.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith(("fanet_import", "slim", "plugin")):
            del sys.modules[name]


def run_cell(module: str, code: str = CELL) -> type[Decoder]:
    """Run code as a notebook does: its classes say that they are of `module`, and come from no file."""
    namespace = {"__name__": module}
    exec(code, namespace)
    return namespace["Slim"]  # type: ignore[return-value]


def import_as(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slim_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slim.py").write_text(CELL)
    return folder / "slim.py"


def distribution(site: Path, name: str, module: str, code: str | None) -> None:
    """An installed package whose entry point names a module, which is missing where there is no code."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fanet.decoders]\n{name} = {module}\n")
    if code is not None:
        (site / f"{module}.py").write_text(code)


def test_decoders_of_the_package_are_registered():
    assert {"deeplabv3plus", "linear", "upernet"} <= set(list_decoders())
    assert list_decoders() == sorted(list_decoders())


def test_a_decoder_is_registered_under_its_name_in_lower_case(registry):
    cls = run_cell("__main__")
    assert decoder_class("slim") is cls and "Slim" not in registry


def test_a_decoder_is_registered_under_the_name_that_is_given():
    @register_decoder(name="thin")
    class Slim(Decoder):
        pass

    assert decoder_class("thin") is Slim and "slim" not in list_decoders()


def test_a_cell_that_is_run_again_replaces_its_decoder():
    first, second = run_cell("__main__"), run_cell("__main__")
    assert first is not second and decoder_class("slim") is second


@pytest.mark.parametrize(("module", "name"), [("another_notebook", "Slim"), ("notebook", "Other")])
def test_another_class_under_a_taken_name_is_an_error(module, name):
    first = run_cell("notebook")
    code = CELL.replace("@register_decoder", '@register_decoder(name="slim")').replace("Slim", name)
    with pytest.raises(UserError, match=f"^the name 'slim' belongs to the decoder Slim of notebook: register {name} "):
        run_cell(module, code)
    assert decoder_class("slim") is first


def test_a_decoder_of_the_package_cannot_be_replaced():
    linear = decoder_class("linear")
    with pytest.raises(
        UserError, match=r"'linear' belongs to the decoder Linear of .*linear\.py: register Linear under"
    ):
        run_cell("__main__", CELL.replace("Slim", "Linear"))
    assert decoder_class("linear") is linear


def test_a_file_that_is_imported_under_two_names_registers_the_same_decoder(tmp_path):
    path = slim_file(tmp_path)
    import_as("slim", path)
    import_files([str(path)])
    assert decoder_class("slim").__module__.startswith("fanet_import")
    import_files([str(path)])


def test_two_files_of_one_name_are_two_decoders(tmp_path):
    paths = [str(slim_file(tmp_path / folder)) for folder in "ab"]
    with pytest.raises(UserError, match="'slim' belongs to the decoder Slim of .*a/slim.py"):
        import_files(paths)


def test_an_imported_file_shadows_no_module(tmp_path):
    (tmp_path / "json.py").write_text("")
    import_files([str(tmp_path / "json.py")])
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.py", None, "there is no Python file .*none.py to import"),
        ("slim.txt", "", "there is no Python file .*slim.txt to import"),
        ("folder.py", "folder", "there is no Python file .*folder.py to import"),
        ("broken.py", "class Slim(:\n", "broken.py cannot be imported: SyntaxError: invalid syntax"),
        ("failing.py", "1 / 0\n", "failing.py cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported_is_an_error_of_one_line(tmp_path, name, content, message):
    if content == "folder":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        import_files([str(tmp_path / name)])
    assert "\n" not in str(caught.value)


def test_only_decoders_can_be_registered():
    with pytest.raises(UserError, match="Plain.* is no subclass of fanet.segmentation.Decoder"):
        register_decoder(type("Plain", (), {}))
    with pytest.raises(UserError, match="'slim' is no subclass .*: a name is given as name="):
        register_decoder("slim")


@pytest.mark.parametrize("name", ["slim", "Linear", "", None, 3, ["linear"]])
def test_an_unknown_decoder_is_an_error_of_one_line_that_says_how_to_import_it(name):
    with pytest.raises(UserError, match="there is no decoder .*--import FILE; registered: deeplabv3plus") as caught:
        SegmentationModel("test_resnet", 2, decoder=name)
    assert "\n" not in str(caught.value)


def test_entry_points_bring_decoders_and_a_broken_one_is_skipped(tmp_path, monkeypatch):
    distribution(tmp_path, "plugin-slim", "plugin_slim", CELL)
    distribution(tmp_path, "plugin-broken", "plugin_broken", "raise RuntimeError('out of\\norder')")
    distribution(tmp_path, "plugin-gone", "plugin_gone", None)
    monkeypatch.syspath_prepend(tmp_path)
    assert "plugin_slim" not in sys.modules, "packages are imported when a decoder is asked for"
    with pytest.warns(UserWarning, match="cannot be imported") as caught:
        assert decoder_class("slim").__module__ == "plugin_slim"
    messages = sorted(str(warning.message) for warning in caught)
    assert messages[0] == "the decoder plugin-broken cannot be imported: out of order"
    assert messages[1].startswith("the decoder plugin-gone cannot be imported: No module named 'plugin_gone'")
    assert decoder_class("linear") and len(messages) == 2, "the packages are asked once"


@pytest.mark.parametrize("kind", ["module of the standard library", "module in sys.path", "file"])
def test_a_config_json_imports_nothing(kind, tmp_path, monkeypatch):
    path = slim_file(tmp_path / "modules")
    monkeypatch.syspath_prepend(path.parent)
    name = {"module of the standard library": "this", "module in sys.path": "slim", "file": str(path)}[kind]
    SegmentationModel("test_resnet", 2, head_channels=8).save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"decoder": name}))
    monkeypatch.delitem(sys.modules, "this", raising=False)
    before = set(sys.modules)
    with pytest.raises(UserError, match="config.json: there is no decoder .*--import FILE") as caught:
        SegmentationModel.from_pretrained(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("decoder", "kwargs", "message"),
    [
        ("linear", {"depth": 2}, "decoder_kwargs do not fit linear: .*unexpected keyword argument 'depth'"),
        ("upernet", {"pool_scales": 3}, "decoder_kwargs do not fit upernet: 'int' object is not iterable"),
        ("upernet", {"pool_scales": [0]}, "the pool_scales of upernet are at least 1"),
        ("deeplabv3plus", {"rates": [6, 0]}, "the rates of deeplabv3plus are dilations of at least 1"),
        ("deeplabv3plus", {"low_channels": -3}, "decoder_kwargs do not fit deeplabv3plus: .*negative dimension"),
        ("deeplabv3plus", {"aspp_dropout": 3}, "decoder_kwargs do not fit deeplabv3plus: dropout probability"),
        ("deeplabv3plus", {"width": 8}, "decoder_kwargs do not fit deeplabv3plus: .*multiple values for .*'width'"),
    ],
)
def test_wrong_decoder_kwargs_are_an_error_of_one_line(decoder, kwargs, message):
    with pytest.raises(UserError, match=message) as caught:
        SegmentationModel("test_resnet", 2, decoder, head_channels=8, decoder_kwargs=kwargs)
    assert "\n" not in str(caught.value)


def test_a_decoder_without_embed_says_what_it_lacks():
    @register_decoder
    class Bare(Decoder):
        def __init__(self, channels, reductions, width):
            super().__init__(width)

    with pytest.raises(NotImplementedError, match=r"Bare must define embed\(features\)"):
        SegmentationModel("test_resnet", 2, "bare")(torch.zeros(1, 3, 64, 64))
