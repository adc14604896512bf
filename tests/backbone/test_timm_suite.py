"""timm's own tests, aimed at this family."""

import importlib.util
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import timm
from packaging.version import Version
from safetensors.torch import save_file

import fanet  # noqa: F401  registers the models

from ..weights.hub_stand_in import Hub

MODELS = sorted([*timm.list_models("fanet_*"), "test_fanet"])
# They take as long as all others together, and differ from them in numbers only.
LARGE = ("fanet_large", "fanet_small", "fanet_nano")

# An older timm has some of the tests below only; a newer one that lacks one has renamed it, and fails here.
OLDER = Version(timm.__version__) < Version("1.0.31")

# timm's tests of a whole family; each must run on every model, none may be skipped.
FAMILY_TESTS = (
    "test_model_forward",
    "test_model_backward",
    "test_model_default_cfgs",
    "test_model_forward_torchscript",
    "test_model_forward_features",
    "test_model_forward_intermediates_features",
    "test_model_forward_intermediates",
    "test_model_forward_fx",
    "test_model_backward_fx",
    "test_model_forward_fx_torchscript",
    "test_prune_intermediate_layers_contract",
)

# timm's tests of fixed models, aimed at ours: (name of the test, arguments behind the model's name).
FIXED_TESTS = (
    ("test_reset_classifier_keeps_pool",),
    ("test_features_only_grad_checkpointing_backward",),
    ("test_model_features_output_stride", 8),
    ("test_model_features_output_stride", 16),
    ("test_feature_getter_stage_ends_torchscript",),
    ("test_prune_intermediate_layers_params_used",),
    ("test_prune_intermediate_layers_last_feature", True),
    ("test_head_hidden_size", {}),
    ("test_forward_intermediates_stop_early_final_norm", {}),
    ("test_features_only_feature_cls_class",),
    ("test_headless_checkpoint_reload", {}),
    ("test_catavgmax_unsupported",),
    ("test_model_init_weights_after_to_empty", {}),
)
EXPORT_TESTS = (
    ("test_export_tracks_reset_pool_in_head", 3, "max"),
    ("test_export_tracks_reset_pool_in_head", 0, ""),
    ("test_export_tracks_reset_classifier_structure", {}, "max", None),
    ("test_export_tracks_reset_classifier_structure", {}, None, None),
)


def load_module(folder: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def suite(timm_tests: Path) -> ModuleType:
    return load_module(timm_tests, "test_models")


@pytest.fixture(scope="module")
def input_suite(timm_tests: Path) -> ModuleType:
    if OLDER and not (timm_tests / "test_model_input.py").exists():
        pytest.skip(f"timm {timm.__version__} has no tests of model inputs")
    return load_module(timm_tests, "test_model_input")


def timm_test(suite: ModuleType, name: str) -> Callable[..., None]:
    if OLDER and not hasattr(suite, name):
        pytest.skip(f"timm {timm.__version__} has no {name}")
    return getattr(suite, name)


def run_family_tests(timm_tests: Path, folder: Path, selection: str, **environment: str) -> Counter:
    """Run timm's test_models.py in a process of its own; how often each test ran. None may fail or be skipped."""
    source = (timm_tests / "test_models.py").read_text(encoding="utf-8")
    # The three tests of forward_intermediates go by module, and the list of modules is timm's own.
    opening = "FEAT_INTER_FILTERS = ["
    assert source.count(opening) == 1
    (folder / "test_models.py").write_text(source.replace(opening, f"{opening}'fanet', "), encoding="utf-8")
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "fanet", "-p", "no:cacheprovider", "test_models.py"]
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    variables.pop("GITHUB_ACTIONS", None)  # timm leaves tests out where it is set
    subprocess.run(
        [*command, "-k", selection, f"--junit-xml={report}", "-c", os.devnull, f"--rootdir={folder}"],
        cwd=folder,
        env=variables,
        capture_output=True,
        timeout=600,
    )
    cases = ElementTree.parse(report).getroot().findall(".//testcase")
    bad = [
        case.get("name") for case in cases for kind in ("failure", "error", "skipped") if case.find(kind) is not None
    ]
    assert not bad
    return Counter(case.get("name").split("[")[0] for case in cases)


@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=[pytest.mark.slow] if model in LARGE else []) for model in MODELS]
)
def test_every_family_test_of_timm_passes(timm_tests, tmp_path, model):
    selection = f"({model}- or {model}] or {model}.) and not pretrained"
    known = (timm_tests / "test_models.py").read_text(encoding="utf-8")
    expected = [test for test in FAMILY_TESTS if not OLDER or f"def {test}(" in known]
    assert run_family_tests(timm_tests, tmp_path, selection) == Counter(expected)


def test_every_test_of_timm_with_pretrained_weights_passes(timm_tests, tmp_path):
    repository = tmp_path / "hub" / "mubashir04" / "fanet_zerowaste_segmentation"
    repository.mkdir(parents=True)
    save_file(timm.create_model("fanet_base").state_dict(), repository / "weights.safetensors")
    with Hub(tmp_path / "hub") as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        ran = run_family_tests(timm_tests, tmp_path, "fanet_base and pretrained", **environment)
    assert ran == Counter(["test_model_load_pretrained", "test_model_features_pretrained"])


@pytest.mark.parametrize("name, arguments", [(name, arguments) for name, *arguments in FIXED_TESTS])
@pytest.mark.filterwarnings("ignore")  # timm's tests do not promise to run without warnings
def test_fixed_model_tests_of_timm_pass(suite, name, arguments):
    timm_test(suite, name)("test_fanet", *arguments)


@pytest.mark.parametrize("name, arguments", [(name, arguments) for name, *arguments in EXPORT_TESTS])
@pytest.mark.filterwarnings("ignore")
def test_export_tests_of_timm_pass(input_suite, tmp_path, name, arguments):
    timm_test(input_suite, name)(tmp_path, "test_fanet", *arguments)
