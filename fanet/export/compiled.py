"""Export networks as machine code for one size of image: PyTorch's ahead-of-time compiler, AOTInductor."""

from pathlib import Path

from torch import nn

from fanet.errors import UserError
from fanet.export.check import engine_of, run_of
from fanet.export.description import describe, encoded, has_logits
from fanet.export.digest import seal
from fanet.export.onnx_file import check_size
from fanet.export.proof import check_proof, make_proof, reference
from fanet.files import atomic_path
from fanet.segmentation.prediction.engines.compiled import compile_network
from fanet.segmentation.prediction.engines.exported import TOLERANCE, in_channels


def export_pt2(net: nn.Module, path: str | Path, size: tuple[int, int]) -> float:
    """Write a network as a package for `torch._inductor.aoti_load_package`: (1, in_chans, H, W) float32 -> logits

    The package runs on processors like this one. Its metadata are those of `export_onnx`, proof included, and `size`;
    its digest is the comment of the archive. `check_file` checks both. Compiling takes a minute or more.

    Args:
        net: A segmentation model or a classifier; it is exported in evaluation mode.
        path: The file, with the suffix `.pt2`.
        size: Height and width of the images.

    Returns:
        The largest deviation of a logit from PyTorch's on the images of the proof, relative to the largest.

    Raises:
        UserError: There is no C++ compiler, the network cannot be compiled, or the package computes something else.
    """
    if Path(path).suffix.lower() != ".pt2":
        raise UserError(f"the file must end with .pt2, got {path}")
    if not has_logits(net):
        raise UserError("a network without logits has nothing to prove: export it as .onnx")
    check_size(net, size)
    proof = make_proof(*reference(net, size), TOLERANCE)
    metadata = encoded(describe(net) | {"size": size, "proof": proof})
    with atomic_path(path) as temporary:
        compile_network(net, temporary, (1, in_channels(net), *size), metadata=metadata)
        deviation = TOLERANCE * check_proof(run_of(engine_of(temporary)), proof)
        seal(temporary)
        return deviation
