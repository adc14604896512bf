"""The preprocessing as a part of an ONNX graph: uint8 images in, label maps out.

The operations are those of `fanet.segmentation.preprocessing`, with sizes that are computed in the graph: resizing is
bit for bit the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import needs_extra
from fanet.segmentation.bilinear import CUT_FROM_PRODUCTS, CUT_FROM_ROWS, CUT_FROM_SUM, WEIGHT_BITS
from fanet.segmentation.preprocessing import Preprocessing

_PREFIX = "end_to_end"
_ROWS, _COLUMNS = 2, 3  # of NCHW


def include_preprocessing(path: Path, preprocessing: Preprocessing, size: tuple[int, int] | None) -> None:
    """Put the preprocessing before the network in an ONNX file, and the way from logits to labels after it.

    The input becomes `pixels` (B, H, W, C) uint8, the outputs `labels` (B, H, W) uint8 and `scores` (B, num_classes, H,
    W) float32, the logits at the size of the images.

    Args:
        path: A file with the input `image` and the output `logits`, as `write_onnx` writes segmentation models.
        preprocessing: What comes first.
        size: Height and width of the images that the file shall take; None for any.
    """
    with needs_extra("onnx", "onnx"):
        import onnx
        from onnx import TensorProto
        from onnx.helper import make_tensor_value_info

    model = onnx.load(str(path))
    graph = model.graph
    height, width = size or ("height", "width")
    classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    channels = len(preprocessing.mean)

    before = _Nodes("before")
    sides = _preprocess(before, preprocessing)
    after = _Nodes("after")
    _label(after, sides, preprocessing.fit is not None or preprocessing.multiple > 1)

    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    shape = ["batch", height, width]
    graph.input.append(make_tensor_value_info("pixels", TensorProto.UINT8, [*shape, channels]))
    graph.output.append(make_tensor_value_info("labels", TensorProto.UINT8, shape))
    graph.output.append(make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes, height, width]))
    onnx.save(model, str(path))


class _Nodes:
    """Collects nodes: `nodes.Add(a, 1.0)` adds one and returns the name of its output; numbers become constants."""

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{_PREFIX}/{prefix}"
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __getattr__(self, kind: str) -> Any:
        def add(*inputs: Any, output: str | None = None, **attributes: Any) -> str:
            from onnx.helper import make_node

            name = f"{self.prefix}/{kind}_{len(self.nodes)}"
            names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
            self.nodes.append(make_node(kind, names, [output or name], name, **attributes))
            return output or name

        return add

    def _constant(self, value: Any) -> str:
        from onnx.numpy_helper import from_array

        name = f"{self.prefix}/constant_{len(self.constants)}"
        self.constants.append(from_array(np.asarray(value), name))
        return name


def _preprocess(nodes: Any, preprocessing: Preprocessing) -> tuple[str, str]:
    """Compute `image` from `pixels`, and return the names of the pixels' height and width, in double precision."""
    from onnx import TensorProto

    x = nodes.Transpose("pixels", perm=[0, 3, 1, 2])
    sides = nodes.Cast(nodes.Shape(x, start=_ROWS), to=TensorProto.DOUBLE)
    original = given = tuple(nodes.Gather(sides, np.int64(side)) for side in (0, 1))
    if preprocessing.fit is not None:
        long, short = map(float, preprocessing.fit)
        scale = nodes.Min(nodes.Div(long, nodes.Max(*given)), nodes.Div(short, nodes.Min(*given)))
        wanted = tuple(nodes.Max(1.0, nodes.Floor(nodes.Add(nodes.Mul(side, scale), 0.5))) for side in given)
        x, given = _resize(nodes, x, given, wanted), wanted
    if preprocessing.multiple > 1:
        multiple = float(preprocessing.multiple)
        wanted = tuple(nodes.Mul(nodes.Ceil(nodes.Div(side, multiple)), multiple) for side in given)
        x = _resize(nodes, x, given, wanted)
    x = nodes.Div(nodes.Cast(x, to=TensorProto.FLOAT), np.float32(255))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    nodes.Div(nodes.Sub(x, mean), std, output="image")
    return original


def _resize(nodes: Any, x: str, old: Sequence[str], new: Sequence[str]) -> str:
    """Resize (B, C, H, W) uint8 as `resize_uint8` does; divisions are shifts, as no value is negative."""
    from onnx import TensorProto

    first, second = _taps(nodes, nodes.Cast(x, to=TensorProto.INT32), old[1], new[1], _COLUMNS)
    across = nodes.Div(nodes.Add(first, second), np.int32(1 << CUT_FROM_ROWS))
    parts = _taps(nodes, across, old[0], new[0], _ROWS)
    total = nodes.Add(*(nodes.Div(part, np.int32(1 << CUT_FROM_PRODUCTS)) for part in parts))
    rounded = nodes.Add(total, np.int32(1 << (CUT_FROM_SUM - 1)))
    return nodes.Cast(nodes.Div(rounded, np.int32(1 << CUT_FROM_SUM)), to=TensorProto.UINT8)


def _taps(nodes: Any, x: str, old: str, new: str, axis: int) -> list[str]:
    """Return the two neighbours of every output pixel along an axis, times their weights."""
    from onnx import TensorProto

    place = nodes.Range(0.0, new, 1.0)
    centre = nodes.Sub(nodes.Mul(nodes.Add(place, 0.5), nodes.Div(old, new)), 0.5)
    centre = nodes.Cast(centre, to=TensorProto.FLOAT)
    low = nodes.Floor(centre)
    share = nodes.Sub(centre, low)
    last = nodes.Cast(nodes.Sub(old, 1.0), to=TensorProto.FLOAT)
    taps = []
    for pixel, weight in ((low, nodes.Sub(np.float32(1), share)), (nodes.Add(low, np.float32(1)), share)):
        weight = nodes.Cast(nodes.Round(nodes.Mul(weight, np.float32(1 << WEIGHT_BITS))), to=TensorProto.INT32)
        index = nodes.Cast(nodes.Min(nodes.Max(pixel, np.float32(0)), last), to=TensorProto.INT64)
        shape = np.array([-1, 1] if axis == _ROWS else [1, -1], np.int64)
        taps.append(nodes.Mul(nodes.Gather(x, index, axis=axis), nodes.Reshape(weight, shape)))
    return taps


def _label(nodes: Any, sides: Sequence[str], is_resized: bool) -> None:
    """Compute `scores` and `labels` from `logits`."""
    from onnx import TensorProto

    if is_resized:
        size = [nodes.Reshape(nodes.Cast(side, to=TensorProto.INT64), np.array([1])) for side in sides]
        shape = nodes.Concat(nodes.Shape("logits", end=_ROWS), *size, axis=0)
        nodes.Resize("logits", "", "", shape, mode="linear", output="scores")
    else:
        nodes.Identity("logits", output="scores")
    nodes.Cast(nodes.ArgMax("scores", axis=1, keepdims=0), to=TensorProto.UINT8, output="labels")
