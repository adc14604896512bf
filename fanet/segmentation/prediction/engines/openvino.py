"""The engine that runs an ONNX file with OpenVINO (extra `openvino`)."""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fanet.errors import UserError, needs_extra, one_line

MOST_SHAPES = 4
_HINTS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """Runs an ONNX file on the CPU: normalised (B, C, H, W) -> first output

    The file is compiled for each shape of input, in about a second. After `MOST_SHAPES` shapes it is compiled once more
    for any shape, which is slower to run.

    Args:
        path: The ONNX file.
        precision: `fp32` or `bf16`.
        calls: How many threads call the engine at once; each call is computed by its share of PyTorch's threads.

    Raises:
        UserError: OpenVINO is not installed or cannot read the file.
    """

    def __init__(self, path: str | Path, precision: str = "fp32", calls: int = 1) -> None:
        with needs_extra("openvino", "openvino"):
            import openvino

        self._core = openvino.Core()
        self._settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY" if calls == 1 else "THROUGHPUT",
            "NUM_STREAMS": calls,
            "ENABLE_CPU_PINNING": False,  # several processes would be pinned to the same cores
        }
        self._path, self._precision, self._calls = str(path), precision, calls
        self._by_calls: dict[int, OpenVinoEngine] = {}
        self._by_shape: dict[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]] = {}
        self._compiling = threading.Lock()
        self._read()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with self._compiling:
            shape = tuple(x.shape) if tuple(x.shape) in self._by_shape or len(self._by_shape) < MOST_SHAPES else ()
            if shape not in self._by_shape:
                self._by_shape[shape] = self._compile(shape)
        return self._by_shape[shape](x)

    def for_calls(self, calls: int) -> "OpenVinoEngine":
        """Return an engine for up to `calls` threads at once: more images a second, though each takes longer.

        It compiles the file anew, needs the memory of `calls` images, and lives as long as this engine.
        """
        calls = min(calls, torch.get_num_threads())
        if calls == self._calls:
            return self
        if calls not in self._by_calls:
            self._by_calls[calls] = OpenVinoEngine(self._path, self._precision, calls)
        return self._by_calls[calls]

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._path)
        except Exception as error:  # OpenVINO raises RuntimeErrors over many lines
            raise UserError(f"OpenVINO cannot read {self._path} ({one_line(error, 160)}): choose onnx") from error

    def _compile(self, shape: tuple[int, ...]) -> Callable[[torch.Tensor], torch.Tensor]:
        """Compile the file for inputs of one shape, or of any if it is empty."""
        model = self._read()
        try:
            if shape:
                model.reshape(shape)
            compiled = self._core.compile_model(model, "CPU", self._settings)
            free: queue.SimpleQueue[Any] = queue.SimpleQueue()  # requests, which take one call at a time
            for _ in range(self._calls):
                free.put(compiled.create_infer_request())
        except Exception as error:  # as above
            raise UserError(f"OpenVINO cannot compile {self._path} ({one_line(error, 160)}): choose onnx") from error

        def run(x: torch.Tensor) -> torch.Tensor:
            request = free.get()
            try:
                return torch.from_numpy(request.infer([x.contiguous().numpy()])[0].copy())  # overwritten by the next
            finally:
                free.put(request)

        return run
