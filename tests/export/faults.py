"""Thirty faults of files and of programs that run them. Each is what goes wrong on the way to another machine."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from fanet.export.proof import make_proof, reference
from fanet.scenes import scene
from fanet.segmentation import Preprocessing, UperNet
from fanet.segmentation.prediction.engines.reduced import quantize

CHANGED = "its digest is missing or wrong"
FAILS = "its proof fails here"

Model = onnx.ModelProto


class FileFault(NamedTuple):
    """A change of a file.

    Attributes:
        change: Changes a model in place, or returns what it becomes.
        without_digest: What is said if whoever changed the file computed the digest again; None if nothing is, as every
            result is the same.
        end_to_end: Whether it is a fault of a file with the preprocessing in its graph.
    """

    change: Callable[[Model], Model | None]
    without_digest: str | None = FAILS
    end_to_end: bool = False


class Edit(NamedTuple):
    """A fault of the program that runs a file: a part of docs/examples/run_onnx.py, and what a port has instead."""

    right: str
    wrong: str


def weight(model: Model, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    entry = next(entry for entry in model.graph.initializer if entry.name == name)
    values = np.array(numpy_helper.to_array(entry))
    entry.CopyFrom(numpy_helper.from_array(change(values).astype(values.dtype), name))


def attribute(model: Model, kind: str, name: str, value: object, count: int | None = None) -> None:
    """Set an attribute of the first nodes of a kind."""
    for node in [node for node in model.graph.node if node.op_type == kind][:count]:
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def said(model: Model, key: str, change: Callable) -> None:
    entry = next(entry for entry in model.metadata_props if entry.key == key)
    entry.value = json.dumps(change(json.loads(entry.value)))


def convolutions(model: Model) -> list[list[str]]:
    """Return the names of weight and bias of every convolution, in their order."""
    return [list(node.input[1:]) for node in model.graph.node if node.op_type == "Conv"]


def stem(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Model], None]:
    return lambda model: weight(model, convolutions(model)[0][0], change)


def one_weight(values: np.ndarray) -> np.ndarray:
    values[0, 0, 0, 0] += 0.05
    return values


def swap_statistics(preprocessing: dict) -> dict:
    return preprocessing | {"mean": preprocessing["std"], "std": preprocessing["mean"]}


def classes_reordered(model: Model) -> None:
    for name in convolutions(model)[-1]:
        weight(model, name, lambda values: values[[0, 2, 1, 3, 4]])


def rounded_to_float16(model: Model) -> None:
    for entry in model.graph.initializer:
        if entry.data_type == onnx.TensorProto.FLOAT:
            weight(model, entry.name, lambda values: values.astype(np.float16))


def overflows(model: Model) -> Model:
    """Scale the last convolution before the classifier, which float32 does not notice, and convert to float16."""
    *_, last_but_one, last = convolutions(model)
    for name in last_but_one:
        weight(model, name, lambda values: values * 2.0**24)
    weight(model, last[0], lambda values: values * 2.0**-24)
    return convert_float_to_float16(model, keep_io_types=True)


def quantised(model: Model) -> Model:
    preprocessing = Preprocessing()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        quantize(path, [preprocessing(scene(seed=2, index=0, size=(64, 64))[0])])
        return onnx.load(str(path))


def optimised(model: Model) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(folder) / "model.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options)
        return onnx.load(options.optimized_model_filepath)


def proof_of_another(model: Model) -> None:
    other = UperNet("test_fanet", 5, head_channels=8, aux_channels=0).eval()
    said(model, "proof", lambda proof: make_proof(*reference(other, None), 1e-4))


def loosened(proof: list[dict]) -> list[dict]:
    return [case | {"tolerance": 1000 * case["tolerance"]} for case in proof]


def without_proof(model: Model) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != "proof"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)


def statistics_in_graph(model: Model) -> None:
    """Swap the constants of the subtraction and the division that make the network's input."""
    divide = next(node for node in model.graph.node if node.output[0] == "image")
    subtract = next(node for node in model.graph.node if node.output[0] == divide.input[0])
    divide.input[1], subtract.input[1] = subtract.input[1], divide.input[1]


def half_a_pixel(model: Model) -> None:
    """Take pixels for points at their corner, not at their centre."""
    place = next(node for node in model.graph.node if node.op_type == "Range").output[0]
    add = next(node for node in model.graph.node if place in node.input)
    weight(model, add.input[1], np.zeros_like)


IN_GRAPH = {
    "one weight changed": FileFault(stem(one_weight)),
    "red and blue exchanged in the first convolution": FileFault(stem(lambda values: values[:, ::-1])),
    "classes reordered in the last convolution": FileFault(classes_reordered),
    "maps resized to the nearest pixel": FileFault(lambda model: attribute(model, "Resize", "mode", "nearest")),
    "maps resized with aligned corners": FileFault(
        lambda model: attribute(model, "Resize", "coordinate_transformation_mode", "align_corners")
    ),
    "a convolution padded on the wrong side": FileFault(
        lambda model: attribute(model, "Conv", "pads", [0, 0, 4, 4], count=1)
    ),
    "GELU approximated": FileFault(lambda model: attribute(model, "Gelu", "approximate", "tanh")),
    "another epsilon in the layer norms": FileFault(
        lambda model: attribute(model, "LayerNormalization", "epsilon", 1e-3)
    ),
    "weights rounded to float16": FileFault(rounded_to_float16),
    "overflow in float16": FileFault(overflows),
    "convolutions quantised to 8 bits": FileFault(quantised),
    "rewritten by an optimiser": FileFault(optimised, None),
    "a wrong opset": FileFault(lambda model: setattr(model.opset_import[0], "version", 9), "ONNXRuntimeError"),
    "mean and std swapped in an end-to-end graph": FileFault(statistics_in_graph, end_to_end=True),
    "half a pixel off in an end-to-end graph": FileFault(half_a_pixel, end_to_end=True),
}

IN_METADATA = {
    "mean and std swapped": FileFault(lambda model: said(model, "preprocessing", swap_statistics)),
    "size of the images edited": FileFault(
        lambda model: said(model, "preprocessing", lambda values: values | {"fit": [256, 96]})
    ),
    "names of classes reordered": FileFault(
        lambda model: said(model, "classes", lambda names: [*names[:3], names[4], names[3]]), None
    ),
    "tolerance loosened": FileFault(lambda model: said(model, "proof", loosened), None),
    "proof of another model": FileFault(proof_of_another),
    "proof removed": FileFault(without_proof, "it carries no proof"),
}

IN_BYTES: dict[str, Callable[[bytes], bytes]] = {
    "file truncated": lambda data: data[: len(data) // 2],
    "one bit flipped": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
}

NORMALISED = "(x / np.float32(255) - mean) / std"
SESSION = "onnxruntime.InferenceSession(data"
IN_PROGRAM = {
    "images read as BGR": Edit('.convert("RGB"))', '.convert("RGB"))[..., ::-1]'),
    "mean and std swapped by the program": Edit(NORMALISED, "(x / np.float32(255) - std) / mean"),
    "pixels not divided by 255": Edit(NORMALISED, "(x - mean) / std"),
    "images resized to the nearest pixel": Edit(
        "weights = np.rint(2048 * weights)", "weights = np.rint(2048 * np.rint(weights))"
    ),
    "images resized with anti-aliasing": Edit(
        "x = resize(x, [max(1, int(side * scale + 0.5)) for side in x.shape[1:]])",
        "x = np.asarray(Image.fromarray(pixels).resize([int(side * scale + 0.5) for side in x.shape[:0:-1]], 2))"
        ".transpose(2, 0, 1)",
    ),
    "the runtime computes in float16": Edit(SESSION, "onnxruntime.InferenceSession(in_float16(data)"),
    "the runtime gives NaN": Edit(
        "logits = resize(logits, pixels.shape[:2])", "logits = resize(logits + np.nan, pixels.shape[:2])"
    ),
}


def in_float16(data: bytes) -> bytes:
    return convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True).SerializeToString()
