"""`fanet verify-published`."""

import argparse

from fanet.cli.arguments import example, positive
from fanet.cli.printing import print_line
from fanet.cli.version import version_lines


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verify-published",
        help="check the authors' published weights against this package",
        description="Downloads the authors' files, lists their names, sizes and digests, and checks that they are the "
        "networks that this package expects. With ImageNet's or ZeroWaste-f's images it also measures the published "
        "accuracies. Writes report.md, to attach to an issue, and report.json. The exit status is 1 if something is "
        "not as expected.",
        epilog=example(
            "fanet verify-published -o report",
            "fanet verify-published --imagenet imagenet --zerowaste zerowaste-f-final.zip --device cuda -o report",
        ),
    )
    parser.add_argument("--imagenet", metavar="DIR", help="ImageNet-1K, with val/ or validation/, a folder a class")
    parser.add_argument("--zerowaste", metavar="ARCHIVE", help="ZeroWaste-f, its archive or folder")
    parser.add_argument("--repo", metavar="ORG/NAME", help="another repository on the Hub (default: the authors')")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit (default: the main branch)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 or mps (default: the first GPU, if any)")
    parser.add_argument(
        "--workers", metavar="N", type=positive, default=2, help="read ahead by so many (default: %(default)s)"
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder for the report")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify, and print the files, the figures and what is not as expected."""
    from fanet.segmentation.processes import find_device
    from fanet.verification import AUTHORS, REPORT_NAME, verify_published

    found = verify_published(
        args.output,
        args.repo or AUTHORS,
        args.revision,
        args.imagenet,
        args.zerowaste,
        find_device(args.device),
        args.workers,
        environment=version_lines(verbose=True),
    )
    for file in found.files:
        print_line(f"{file.name}: {file.size} bytes, {file.kind or 'no checkpoint'}")
    for figure in found.figures:
        print_line(f"{figure.name}: {figure.measured:.2f} %, published {figure.published} %")
    for problem in found.problems:
        print_line(f"not as expected: {problem}")
    print_line(f"{'not everything' if found.problems else 'everything'} is as expected; {args.output}/{REPORT_NAME}")
    return 1 if found.problems else 0
