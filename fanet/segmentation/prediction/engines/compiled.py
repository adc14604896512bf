"""The engine that runs a network through PyTorch's ahead-of-time compiler, AOTInductor."""

import copy
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from fanet.errors import UserError, one_line
from fanet.files import atomic_path
from fanet.segmentation.prediction.engines.cache import cache_folder, digest
from fanet.segmentation.prediction.engines.eager import EagerEngine, first_output, in_evaluation_mode
from fanet.segmentation.prediction.engines.precision import dtype_of, processor_flags

MOST_SHAPES = 4

Loaded = Callable[[torch.Tensor], torch.Tensor]


class CompiledEngine:
    """Compiles a network for each shape of input: normalised (B, C, H, W) -> first output

    Compiling takes about a minute. The result is kept in the cache, so the next start with the same network, shape,
    threads and version of PyTorch loads it in a moment. After `MOST_SHAPES` shapes the network is run as it is.
    """

    def __init__(self, network: nn.Module, precision: str = "fp32") -> None:
        self._network, self._precision, self._dtype = network, precision, dtype_of(precision)
        self._uncompiled: EagerEngine | None = None
        self._by_shape: dict[tuple[int, ...], Loaded] = {}

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network.

        Raises:
            UserError: The network cannot be compiled, for want of a C++ compiler for instance.
        """
        shape = tuple(x.shape)
        if shape not in self._by_shape:
            if len(self._by_shape) == MOST_SHAPES:
                self._uncompiled = self._uncompiled or EagerEngine(self._network, self._precision)
                return self._uncompiled(x)
            self._by_shape[shape] = self._load(shape)
        return self._by_shape[shape](x.to(self._dtype).contiguous())

    def _load(self, shape: tuple[int, ...]) -> Loaded:
        path = compiled_path(self._network, shape, self._precision)
        if not path.is_file():
            size = "x".join(map(str, shape[-2:]))
            print(f"note: compiling for {size} pixels, about a minute; the next start is quick", file=sys.stderr)
            compile_network(self._network, path, shape, self._precision)
        loaded = torch._inductor.aoti_load_package(str(path))
        return lambda x: first_output(loaded(x))


def compiled_path(network: nn.Module, shape: tuple[int, ...], precision: str = "fp32") -> Path:
    """Return where a network that was compiled for inputs of one shape is kept."""
    name = digest(network, precision, torch.__version__, sorted(processor_flags()), torch.get_num_threads())
    return cache_folder() / f"{name}-{'x'.join(map(str, shape))}.pt2"


@torch.inference_mode(False)  # exporters refuse tensors that were made in it
@torch.no_grad()
def compile_network(
    network: nn.Module,
    path: Path,
    shape: tuple[int, ...],
    precision: str = "fp32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Compile a network for inputs of one shape with this processor and number of threads, and write it as `.pt2`.

    Args:
        network: The network, on the CPU.
        path: The file.
        shape: (B, C, H, W) of the input.
        precision: `fp32` or `bf16`.
        metadata: Keys and values to store in the file.

    Raises:
        UserError: It cannot be exported or compiled.
    """
    dtype = dtype_of(precision)
    network = copy.deepcopy(network).to(dtype).to(memory_format=torch.channels_last)
    with atomic_path(path) as temporary, in_evaluation_mode(network), without_notices():
        try:
            program = torch.export.export(network, (torch.zeros(shape, dtype=dtype),))
            configs = {"freezing": True, "aot_inductor.metadata": dict(metadata or {})}
            torch._inductor.aoti_compile_and_package(program, package_path=str(temporary), inductor_configs=configs)
        except Exception as error:  # of any type: exporter, compiler and linker have their own
            raise UserError(
                f"the network cannot be compiled ({one_line(error, 200)}): choose another engine"
            ) from error


@contextmanager
def without_notices() -> Iterator[None]:
    """Silence PyTorch's warnings, among them that there is no CUDA, while it compiles or loads a package."""
    log = logging.getLogger("torch.utils.cpp_extension")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
