"""Models, checkpoints and recipes with bytes changed, lost or added: one line that refuses them, or a result."""

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from fanet.errors import UserError
from fanet.recipes import load_recipe, recipe_path
from fanet.segmentation import SegmentationModel, UperNet
from fanet.segmentation.training.settings import OPTIONAL_KEYS, Settings

resource = pytest.importorskip("resource", reason="Windows counts no memory by `getrusage`")

MODEL = ("model.safetensors", "config.json")
FILES = (*MODEL, "checkpoint.pth", "recipe.yaml")
GIB = 2**30


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    net = UperNet("test_fanet", 3, head_channels=8, aux_channels=0)
    net.save_pretrained(folder)
    torch.save({"state_dict": net.state_dict(), "meta": {"epoch": 3}}, folder / "checkpoint.pth")
    recipe = yaml.safe_load(Path(recipe_path("clutter")).read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return {name: (folder / name).read_bytes() for name in FILES}


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage the contents of a file, most often near its start, where the structure is."""
    data = bytearray(content)
    start = rng.randrange(min(len(data), rng.choice([16, 400, 4000, len(data)])))
    length = rng.choice([1, 1, 4, 40])
    match rng.randrange(6):
        case 0:
            del data[start:]
        case 1:
            del data[start : start + length]
        case 2:
            data[start : start + length] = rng.randbytes(length)
        case 3:
            data[start:start] = rng.choice([b"{", b"[", b'"', b"\0", b"-", b"999999999999", b"nan", b"null", b"\xff"])
        case 4:
            data[start : start + length] = b"\xff" * length
        case 5:
            other = rng.randrange(len(data))
            data[start : start + length] = data[other : other + length]
    return bytes(data)


def load_model(folder: Path) -> None:
    SegmentationModel.from_pretrained(folder)


def load_settings(folder: Path) -> None:
    Settings.from_recipe(load_recipe(str(folder / "recipe.yaml"), [], OPTIONAL_KEYS))


def try_mutations(name: str, good: dict[str, bytes], folder: Path, numbers: range) -> int:
    """Load files with mutations; return how many were refused."""
    load: Callable[[Path], None] = load_settings if name == "recipe.yaml" else load_model
    refused = 0
    for number in numbers:
        for part in MODEL if name in MODEL else (name,):
            content = mutated(good[part], random.Random(number)) if part == name else good[part]
            (folder / part).write_bytes(content)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load(folder)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 2000, number
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {type(error).__name__}: {error}") from error
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIB, number
    return refused


@pytest.mark.parametrize("name", FILES)
def test_damaged_file_is_refused_in_one_line_or_loaded(name, good, tmp_path):
    assert try_mutations(name, good, tmp_path, range(8)) > 1


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files_are_refused_in_one_line_or_loaded(name, good, tmp_path):
    assert try_mutations(name, good, tmp_path, range(8, 208)) > 50


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".json", ".yaml", ""])
def test_random_bytes_are_refused_in_one_line(suffix, tmp_path):
    for number in range(10):
        file = tmp_path / f"file{suffix}"
        file.write_bytes(random.Random(number).randbytes(random.Random(number).choice([0, 1, 8, 100, 5000])))
        for load in (SegmentationModel.from_pretrained, lambda file: load_recipe(str(file), [], OPTIONAL_KEYS)):
            with pytest.raises(UserError) as caught:
                load(file)
            assert "\n" not in str(caught.value)
