"""Count parameters and multiply-accumulates of FANet and its peers, as classifiers and under UperNet.

    python benchmarks/complexity.py
    python benchmarks/complexity.py --decoder deeplabv3plus    # only under this one, into files with its name

Writes `benchmarks/results/complexity-<width>x<height>-batch1.csv` for 224x224, 512x512 and 928x512 (a ZeroWaste-f frame
in the authors' test pipeline). It takes a few minutes: fvcore runs every network once, on the CPU in float32, with
random weights. The columns, all for one image:

model, arguments      name in timm and the arguments that differ from its defaults
network               "classifier" with 1000 classes, or a decoder such as "upernet" with 5 (256 channels, no auxiliary
                      head, no classifier in the backbone: what runs in inference)
params_m              millions of parameters
gmacs                 billions of multiply-accumulates by fvcore, in convolutions, linear layers and matrix products
torch_gmacs           the same by torch's own counter, which counts in FLOPs: 1 MAC = 2 FLOPs. The two must agree.
estimated_gops        fvcore's rough count of what does not multiply and accumulate: 5 operations per value of a layer
                      norm, 2 of a batch norm in evaluation, 4 of a bilinear resize's output, 1 of an average pool's
                      input. fvcore adds them to its total; published figures rarely include them.
estimated_ops         billions of these by kind
uncounted_ops         every operation that fvcore has no rule for, with the number of calls. None of them multiplies
                      matrices: activations, sums, products and differences of maps, softmax, means. Each takes a few
                      operations per value, and by convention none is counted. (fvcore also ignores ReLU and operations
                      that only move or select values.)
note                  how the network was built for this size
"""

import argparse
import csv
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from networks import build, size_arguments

from fanet.backbone.complexity import count_macs, count_parameters, variants
from fanet.files import atomic_path, make_folder
from fanet.segmentation.network.decoders import list_decoders

with warnings.catch_warnings():
    # fvcore compiles its losses with TorchScript while it is imported; torch deprecates that
    warnings.simplefilter("ignore")
    from fvcore.nn import FlopCountAnalysis

CLASSIFIER = "classifier"
RESULTS = Path(__file__).parent / "results"
SIZES = ((224, 224), (512, 512), (512, 928))  # (H, W)
MULTIPLY_ACCUMULATES = ("conv", "linear", "addmm", "mm", "matmul", "bmm", "einsum")  # fvcore's names
COLUMNS = (
    "model",
    "arguments",
    "network",
    "params_m",
    "gmacs",
    "torch_gmacs",
    "estimated_gops",
    "estimated_ops",
    "uncounted_ops",
    "note",
)

# The rows of the paper's Table 2; its last one is fanet_base as it is.
ABLATIONS: tuple[dict[str, Any], ...] = (
    {"scm": False, "frm": "none"},
    {"scm": True, "frm": "none"},
    {"scm": False, "frm": "high"},
    {"scm": False, "frm": "low"},
    {"scm": False, "frm": "both"},
)
NETWORKS: tuple[tuple[str, dict[str, Any]], ...] = (
    *((variant.name, {}) for variant in variants(sizes=())),
    *(("fanet_base", ablation) for ablation in ABLATIONS),
    ("focalnet_tiny_lrf", {}),
    ("focalnet_tiny_srf", {}),
    ("focalnet_base_lrf", {}),
    ("focalnet_base_srf", {}),
    ("convnext_tiny", {}),
    ("swin_tiny_patch4_window7_224", {}),
)


class FvcoreCount(NamedTuple):
    """fvcore's counts of one forward pass, by operation.

    Attributes:
        macs: Multiply-accumulates of convolutions, linear layers and matrix products.
        estimates: Rough counts of norms, resizing and pooling.
        uncounted: Calls of operations that fvcore has no rule for.
    """

    macs: int
    estimates: dict[str, int]
    uncounted: dict[str, int]


def count_with_fvcore(model: torch.nn.Module, size: tuple[int, int]) -> FvcoreCount:
    """Count with fvcore for one image of (H, W) pixels. Tracing needs real tensors."""
    analysis = FlopCountAnalysis(model, torch.zeros(1, 3, *size))
    # Its warnings repeat what `uncounted` and the comparison with torch's counter show.
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    with torch.no_grad():
        by_operator = analysis.by_operator()
    return FvcoreCount(
        macs=round(sum(count for op, count in by_operator.items() if op in MULTIPLY_ACCUMULATES)),
        estimates={op: round(count) for op, count in by_operator.items() if op not in MULTIPLY_ACCUMULATES},
        uncounted={op.removeprefix("aten::"): calls for op, calls in analysis.unsupported_ops().items()},
    )


def measure(name: str, arguments: dict[str, Any], network: str, size: tuple[int, int]) -> dict[str, str]:
    """Measure one row of the table.

    Raises:
        RuntimeError: fvcore and torch disagree on the multiply-accumulates, so one of them misses an operation.
    """
    spec = name if network == CLASSIFIER else f"{network}:{name}"
    model = build(spec, size, **arguments)
    counted = count_with_fvcore(model, size)
    by_torch = count_macs(build(spec, size, device="meta", **arguments), size)
    if counted.macs != by_torch:
        raise RuntimeError(f"{spec} {arguments} at {size}: fvcore counts {counted.macs} MACs, torch {by_torch}")
    fixed = size_arguments(name, size)
    return {
        "model": name,
        "arguments": " ".join(f"{key}={value}" for key, value in arguments.items()),
        "network": network,
        "params_m": f"{count_parameters(model) / 1e6:.6f}",
        "gmacs": f"{counted.macs / 1e9:.6f}",
        "torch_gmacs": f"{by_torch / 1e9:.6f}",
        "estimated_gops": f"{sum(counted.estimates.values()) / 1e9:.6f}",
        "estimated_ops": " ".join(f"{op}:{count / 1e9:.6f}" for op, count in sorted(counted.estimates.items())),
        "uncounted_ops": " ".join(f"{op}:{calls}" for op, calls in sorted(counted.uncounted.items())),
        "note": f"built for this size only (img_size={size})" if fixed else "",
    }


def results_path(size: tuple[int, int], decoder: str | None = None) -> Path:
    """The file with the table for images of (H, W) pixels, or with that under another decoder."""
    return RESULTS / f"complexity-{f'{decoder}-' if decoder else ''}{size[1]}x{size[0]}-batch1.csv"


def write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write the rows with a header."""
    make_folder(path.parent)
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Count everything and write one file per size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--decoder", choices=list_decoders(), help="count under this decoder alone")
    decoder = parser.parse_args().decoder
    for size in SIZES:
        rows = []
        for network in (decoder,) if decoder else (CLASSIFIER, "upernet"):
            for name, arguments in NETWORKS:
                start = time.perf_counter()
                rows.append(row := measure(name, arguments, network, size))
                seconds = time.perf_counter() - start
                print(f"{size[1]}x{size[0]} {network} {name} {row['arguments']}: {row['params_m']} M, "
                      f"{row['gmacs']} GMACs ({seconds:.0f} s)", flush=True)  # fmt: skip
        write(results_path(size, decoder), rows)
        print(results_path(size, decoder))


if __name__ == "__main__":
    main()
