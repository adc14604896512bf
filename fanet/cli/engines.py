"""`fanet engines`."""

import argparse
import functools
from collections.abc import Sequence

from fanet.cli.allocator import keep_freed_memory
from fanet.cli.arguments import add_import_argument, example, import_files, positive
from fanet.cli.printing import print_line


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "engines",
        help="print what this machine can run a model with",
        description="Runs a model on a generated scene with every engine and precision of this machine, on the CPU, "
        "each in a process of its own, and prints the seconds to the first label map, the latency, the peak memory, "
        "and the share of pixels with the label of eager in fp32. What is compiled or exported is kept for the next "
        "start.",
        epilog=example("fanet engines", "fanet engines --model runs/mine/best --size 1080 1920"),
    )
    parser.add_argument(
        "--model",
        metavar="M",
        help="name of a model inside the package, folder, checkpoint or Hub id (default: clutter, inside)",
    )
    parser.add_argument(
        "--size",
        metavar=("H", "W"),
        type=positive,
        nargs=2,
        default=[512, 512],
        help="height and width of the image in pixels (default: 512 512)",
    )
    parser.add_argument("--runs", metavar="N", type=positive, default=20, help="timed runs (default: %(default)s)")
    parser.add_argument("--threads", metavar="N", type=positive, help="threads (default: PyTorch's own)")
    add_import_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure every engine, and print a row for each as soon as it is known."""
    from fanet.engines import survey

    prepare = functools.partial(_prepare, args.imports)
    print_line(f"{'engine':<14}  start (s)  p50 (ms)  p95 (ms)  p99 (ms)  memory (MB)  same labels")
    quickest = None
    for row in survey(args.model, (args.size[0], args.size[1]), args.runs, args.threads, prepare):
        label = f"{row.engine} {row.precision}"
        if row.missing:
            print_line(f"{label:<14}  {row.missing}")
            continue
        p50, p95, p99 = row.latency
        print_line(
            f"{label:<14}  {row.start:>9.1f}  {p50:>8.1f}  {p95:>8.1f}  {p99:>8.1f}  {row.memory:>11.0f}  "
            f"{100 * row.agreement:>9.2f} %"
        )
        if row.is_faithful and (quickest is None or p50 < quickest.latency[0]):
            quickest = row
    if quickest is not None:
        print_line(f"fastest: --engine {quickest.engine} --precision {quickest.precision}")
    return 0


def _prepare(imports: Sequence[str]) -> None:
    """Make a new process like this one."""
    keep_freed_memory()
    import_files(imports)
