"""Count what a forward pass keeps in memory for the gradients: by the operation that needs it again.

    python benchmarks/kept_tensors.py plain-norm:fanet_base fanet_base --img-size 512 --batch-size 2

Writes `benchmarks/results/kept-<conditions>.csv`, a row for each model and operation, the largest first:

model, operation   the model as in throughput.py; the operation whose gradient needs the tensors
mb                 their size in MB; a tensor that several operations need counts for the first of them in the order of
                   this list, parameters count for none
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import RESULTS, write_csv
from networks import build

from fanet.errors import UserError

COLUMNS = ("model", "operation", "mb")
# Names of torch's nodes; their order decides to whom a tensor counts
OPERATIONS = {
    "ConvolutionBackward0": "convolution",
    "GeluBackward0": "GELU",
    "NativeLayerNormBackward0": "layer norm",
}


def kept(network: torch.nn.Module, x: torch.Tensor) -> dict[str, int]:
    """Run `network` on (B, C, H, W) and return the bytes that each operation keeps, the largest first."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    sizes: dict[int, tuple[int, str, int]] = {}
    order = list(OPERATIONS)
    for node in _nodes(network(x).grad_fn):
        name = type(node).__name__
        rank = order.index(name) if name in order else len(order)
        for storage in _saved(node):
            key = storage.data_ptr()
            if key not in parameters and (key not in sizes or rank < sizes[key][0]):
                sizes[key] = rank, OPERATIONS.get(name, "other"), storage.nbytes()
    totals: Counter[str] = Counter()
    for _, name, size in sizes.values():
        totals[name] += size
    return dict(totals.most_common())


def _nodes(root: Any) -> Iterator[Any]:
    """Yield every node of the graph that ends in `root`."""
    waiting, seen = [root], {root}
    while waiting:
        node = waiting.pop()
        yield node
        following = {child for child, _ in node.next_functions if child is not None} - seen
        seen |= following
        waiting.extend(following)


def _saved(node: Any) -> Iterator[torch.UntypedStorage]:
    """Yield the storages of the tensors that a node has saved."""
    for name in dir(node):
        if name.startswith("_saved_"):
            value = getattr(node, name)
            for tensor in value if isinstance(value, tuple | list) else (value,):
                if isinstance(tensor, torch.Tensor):
                    yield tensor.untyped_storage()


def main(argv: Sequence[str]) -> int:
    """Count and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as for throughput.py")
    parser.add_argument("--batch-size", type=int, default=2, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--img-size", type=int, default=512, metavar="S", help="side (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    rows = []
    x = torch.rand(args.batch_size, 3, args.img_size, args.img_size)
    try:
        for model in args.models:
            network = build(model, (args.img_size, args.img_size)).train()
            for operation, size in kept(network, x).items():
                rows.append({"model": model, "operation": operation, "mb": f"{size / 1e6:.1f}"})
    except UserError as error:
        print(f"kept_tensors: error: {error}", file=sys.stderr)
        return 2
    write_csv(args.output / f"kept-{args.img_size}x{args.img_size}-batch{args.batch_size}.csv", COLUMNS, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
