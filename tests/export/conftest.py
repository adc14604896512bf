"""A small model in ONNX, exported once; files with other preprocessing are made from it without an exporter."""

import copy
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnx
import pytest

from fanet.export import export_onnx, onnx_file
from fanet.segmentation import Preprocessing, UperNet

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
RUN_ONNX = DOCS.parent / "examples" / "run_onnx.py"

Exporter = Callable[..., Path]


@pytest.fixture
def run_onnx() -> ModuleType:
    """The program of the docs, as a module of its own for each test."""
    spec = importlib.util.spec_from_file_location("run_onnx", RUN_ONNX)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def export_again(small_model: UperNet, small_onnx: Path) -> Exporter:
    """A function that exports the small model with another preprocessing; the network comes from its file."""
    network = onnx.load(str(small_onnx))

    def write(
        net: UperNet, path: Path, size: object, is_dynamic: bool, names: object, metadata: dict[str, str]
    ) -> None:
        model = copy.deepcopy(network)
        del model.metadata_props[:]
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, str(path))

    def export(path: Path, preprocessing: Preprocessing, **options: object) -> Path:
        net = copy.deepcopy(small_model)
        net.preprocessing = preprocessing
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(onnx_file, "write_onnx", write)
            patch.setattr(onnx_file, "SIZES", ((64, 96),))
            export_onnx(net, path, **options)
        return path

    return export
