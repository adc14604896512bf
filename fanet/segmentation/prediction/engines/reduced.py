"""ONNX files in fewer bits: float16 weights, or 8-bit convolutions."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from fanet.errors import UserError, needs_extra, one_line
from fanet.segmentation.prediction.engines.exported import quiet

#: Largest deviation of a float16 file from PyTorch in float32, relative to the largest output.
TOLERANCE_FP16 = 2e-2
#: The same of an 8-bit file in another runtime from ONNX Runtime here; OpenVINO rounds differently, by up to 3e-2.
TOLERANCE_INT8 = 5e-2


def to_float16(path: Path) -> None:
    """Convert the weights and maps of an ONNX file to float16; its input and outputs stay float32.

    Raises:
        UserError: A package is missing.
    """
    with needs_extra("onnx", "onnx", "onnxruntime"):
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

    with quiet():  # weights below the smallest number become it, with a warning
        model = convert_float_to_float16(onnx.load(str(path)), keep_io_types=True)
    onnx.save(model, str(path))


def quantize(path: Path, images: Iterable[torch.Tensor]) -> None:
    """Quantise the convolutions of an ONNX file to 8 bits: weights by channel, maps by the range that they take.

    All other operations stay in float32, as layer norms and sums of residuals lose the most and take little time. The
    file keeps the standard's pairs of QuantizeLinear and DequantizeLinear, which runtimes turn into 8-bit kernels.

    Args:
        path: The file.
        images: Normalised images, (1, C, H, W), like those that the network will see; some thirty suffice.

    Raises:
        UserError: A package is missing, there is no image, or the file cannot be quantised.
    """
    with needs_extra("onnx", "onnx", "onnxruntime"):
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process

    inputs = iter([{"image": image.numpy()} for image in images])
    first = next(inputs, None)
    if first is None:
        raise UserError("int8 needs images to calibrate with")

    class Images(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:
            nonlocal first
            upcoming, first = first, next(inputs, None)
            return upcoming

    metadata = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}  # the quantiser adds its own
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(path),
                Images(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        except Exception as error:  # of any type
            raise UserError(f"the network cannot be quantised ({one_line(error, 160)}): export it in fp32") from error
    model = onnx.load(str(path))
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))
