"""`fanet run`."""

import argparse
import runpy
import sys
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

from fanet.cli.arguments import example
from fanet.errors import UserError

SCRIPTS = ("train.py", "validate.py", "benchmark.py", "inference.py", "onnx_export.py", "avg_checkpoints.py")
REPOSITORY = "https://github.com/huggingface/pytorch-image-models"
FAILED = 1  # the exit status of a Python script that ends with an exception


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        usage="fanet run [-h] SCRIPT [ARGS ...]",
        help="run one of timm's scripts with the models registered",
        description="Runs a Python script as `python SCRIPT ARGS` would, with FANet among timm's models: "
        f"{', '.join(SCRIPTS)}, or your own. timm installs without its scripts; they are in its repository, "
        f"{REPOSITORY}. Arguments after SCRIPT are the script's own.",
        epilog=example(
            "fanet run train.py -c $(fanet recipes imagenet1k) --data-dir imagenet",
            "torchrun --nproc_per_node=8 -m fanet run train.py -c $(fanet recipes imagenet1k) --data-dir imagenet",
            "fanet run validate.py --help",
        ),
    )
    # one argument, because argparse would consume a `--` after the script
    parser.add_argument(
        "words", metavar="SCRIPT ARGS", nargs=argparse.REMAINDER, help="path of the script, and the script's arguments"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the script and return its exit status."""
    if not args.words:
        raise UserError(f"which script? {_where()}")
    script, *arguments = args.words
    if not Path(script).is_file():
        raise UserError(f"there is no script {script}; {_where()}")
    return run_script(script, arguments)


def run_script(script: str, arguments: list[str]) -> int:
    """Run a Python file as `python SCRIPT ARGS` would, in this process, with FANet's models registered.

    An exception is reported as Python does, but with the frames of the script only.

    Args:
        script: Path of the file.
        arguments: What the script finds in `sys.argv[1:]`.

    Returns:
        0, or 1 if the script ended with an exception.

    Raises:
        SystemExit: Raised by the script.
        KeyboardInterrupt: The script was interrupted.
    """
    import fanet.backbone  # noqa: F401  # registers the models

    argv, path = sys.argv, sys.path
    sys.argv = [script, *arguments]
    # as Python does, so that the script finds modules beside it first
    sys.path = [str(Path(script).resolve().parent), *path]
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        error = error.with_traceback(_own_frames(error.__traceback__, script))
        sys.excepthook(type(error), error, error.__traceback__)
        return FAILED
    finally:
        sys.argv, sys.path = argv, path
    return 0


def _own_frames(traceback: TracebackType | None, script: str) -> TracebackType | None:
    """Return the traceback from the script on; None if the script did not compile."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename != script:
        traceback = traceback.tb_next
    return traceback


def _where() -> str:
    """Say where timm's scripts are and which release fits."""
    installed = version("timm")
    return (
        f"timm {installed} is installed, and its scripts are in its repository: "
        f"`git clone --depth 1 --branch v{installed} {REPOSITORY}` (or its main branch, if there is no such tag), "
        "copy train.py, validate.py, … out of it, and name one: fanet run train.py --help"
    )
