"""An exported file that was changed, or that a program runs wrongly, is refused before it predicts anything."""

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from fanet.errors import UserError
from fanet.export import check_file
from fanet.export.digest import seal
from fanet.export.proof import check_proof, make_proof, proof_images
from fanet.segmentation import Preprocessing

from .conftest import DOCS, RUN_ONNX, Exporter
from .faults import CHANGED, FAILS, IN_BYTES, IN_GRAPH, IN_METADATA, IN_PROGRAM, FileFault, in_float16

IN_FILE = IN_GRAPH | IN_METADATA
SHRINKS = Preprocessing(fit=(128, 64), multiple=32)


@pytest.fixture(scope="session")
def files(export_again: Exporter, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A file that images are prepared for, and one with the preprocessing inside."""
    folder = tmp_path_factory.mktemp("proof")
    return {
        whole: export_again(folder / f"{name}.onnx", SHRINKS, end_to_end=whole)
        for whole, name in ((False, "plain"), (True, "whole"))
    }


def refusal(program: ModuleType, path: Path) -> str:
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011
        program.load(path)
    return str(caught.value)


def changed(fault: FileFault, files: dict[bool, Path], path: Path) -> None:
    """Write a file with a fault, as a tool does that knows nothing of digests."""
    model = onnx.load(str(files[fault.end_to_end]))
    onnx.save(fault.change(model) or model, str(path))


def documented(name: str) -> str:
    """Return what the docs say is printed for a fault."""
    row = next(row for row in DOCS.read_text(encoding="utf-8").splitlines() if row.startswith(f"| {name} |"))
    return row.split(" | ")[1].strip("| `")


def without_numbers(text: str) -> str:
    return re.sub(r"nan|[-+.\d]+(e[-+]\d+)?", "N", text)


def sealed_again(path: Path) -> None:
    """Replace the digest by that of the file as it is now."""
    model = onnx.load(str(path))
    kept = [entry for entry in model.metadata_props if entry.key != "digest"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, str(path))
    seal(path)


@pytest.mark.parametrize("name", IN_FILE)
def test_fault_in_a_file_is_refused(name, files, run_onnx, tmp_path):
    fault, path = IN_FILE[name], tmp_path / "faulty.onnx"
    changed(fault, files, path)
    assert CHANGED in refusal(run_onnx, path)
    with pytest.raises(UserError, match="digest of .* is missing or wrong"):
        check_file(path)

    sealed_again(path)
    if fault.without_digest is None:
        run_onnx.load(path)
        check_file(path)
        assert documented(name) == "nothing: all results are the same"
        return
    said = refusal(run_onnx, path)
    assert fault.without_digest in said
    assert without_numbers(said).startswith(without_numbers(documented(name)))
    with pytest.raises(UserError, match="is refused: "):
        check_file(path)


@pytest.mark.parametrize("name", IN_BYTES)
def test_damaged_file_is_refused(name, files, run_onnx, tmp_path):
    path = tmp_path / "faulty.onnx"
    path.write_bytes(IN_BYTES[name](files[False].read_bytes()))
    assert CHANGED in refusal(run_onnx, path)
    with pytest.raises(UserError, match="is missing or wrong"):
        check_file(path)


@pytest.mark.parametrize("name", IN_PROGRAM)
def test_fault_of_the_program_is_refused(name, files, run_onnx):
    source = RUN_ONNX.read_text(encoding="utf-8")
    edit = IN_PROGRAM[name]
    assert source.count(edit.right) == 1
    faulty = ModuleType("faulty")
    faulty.__dict__["in_float16"] = in_float16
    exec(source.replace(edit.right, edit.wrong), faulty.__dict__)
    run_onnx.load(files[False])
    said = refusal(faulty, files[False])
    assert FAILS in said
    assert without_numbers(said) == without_numbers(documented(name))


def test_there_are_thirty_faults():
    assert len({*IN_FILE, *IN_BYTES, *IN_PROGRAM}) == 30


def test_digest_of_the_docs_is_the_line_that_is_printed(files, run_onnx, tmp_path):
    path = tmp_path / "faulty.onnx"
    path.write_bytes(files[False].read_bytes() + b"\0")
    assert refusal(run_onnx, path) in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value"),
    [("image", "AAA"), ("logits", None), ("labels", ""), ("tolerance", 0.0), ("tolerance", float("nan")), ("step", 0)],
)
def test_damaged_proof_is_refused(key, value, files, run_onnx, tmp_path):
    path = tmp_path / "net.onnx"
    model = onnx.load(str(files[False]))
    entry = next(entry for entry in model.metadata_props if entry.key == "proof")
    proof = json.loads(entry.value)
    proof[0] = {name: each for name, each in (proof[0] | {key: value}).items() if each is not None}
    entry.value = json.dumps(proof)
    onnx.save(model, str(path))
    sealed_again(path)
    assert refusal(run_onnx, path)
    with pytest.raises(UserError, match=r"net.onnx is refused: its proof is damaged \(.+\): export the model again$"):
        check_file(path)


def test_proof_takes_any_number_of_channels_and_leaves_ties_open():
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = np.moveaxis(pixels[..., :2].astype(np.float32), -1, 0)
        return logits.argmax(0), logits

    images = proof_images(Preprocessing((0.5,) * 5, (0.5,) * 5), 5, None, pads=False)
    assert {image.shape[2] for image in images} == {5}
    proof = make_proof(run, [*images, np.full((4, 6, 5), 7, np.uint8)], 1e-4)
    assert check_proof(run, proof) == 0
    assert check_proof(lambda pixels: (1 - run(pixels)[0], run(pixels)[1]), proof[2:]) == 0  # all of them ties
    with pytest.raises(UserError, match="labels wrong"):
        check_proof(lambda pixels: (1 - run(pixels)[0], run(pixels)[1]), proof)
    with pytest.raises(UserError, match="logits are"):
        check_proof(lambda pixels: (run(pixels)[0], run(pixels)[1][:, :-1]), proof)


def test_images_of_a_proof_shrink_where_those_of_the_user_do():
    shapes = [image.shape[:2] for image in proof_images(SHRINKS, 3, None, pads=False)]
    assert any(min(shape) > min(SHRINKS.sizes(*shape)[0]) for shape in shapes)
    assert any(min(shape) < min(SHRINKS.sizes(*shape)[0]) for shape in shapes)
    with pytest.raises(UserError, match="every image larger than 40x50 pixels: choose a larger --size"):
        proof_images(SHRINKS, 3, (40, 50), pads=True)
