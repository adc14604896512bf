"""Serve the page on this machine: at 127.0.0.1 only, with all files in one folder, until Ctrl-C."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fanet.errors import UserError, needs_extra
from fanet.files import make_folder
from fanet.interrupts import stopping

HOST = "127.0.0.1"
# Where libraries would write, outside the folder of the page.
_FOLDERS = {
    "GRADIO_TEMP_DIR": "uploads",
    "FANET_CACHE": "engines",
    "TORCHINDUCTOR_CACHE_DIR": "compiled",
    "MPLCONFIGDIR": "matplotlib",
    "TMPDIR": "temporary",
}
_PORTS = range(1, 1 << 16)


def serve(
    models: Sequence[str] = (),
    port: int | None = None,
    output: str | Path | None = None,
    announce: Callable[[str], object] = print,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        models: One's own models, as for `build_page`; they are loaded before the page opens.
        port: Port on 127.0.0.1; by default the first free one from 7860.
        output: Folder for everything that is written, kept afterwards; by default a temporary one, which is removed.
        announce: Called with the address as soon as the page can be opened.

    Raises:
        UserError: gradio is not installed, a model cannot be loaded, the port is taken, or the folder cannot be made.
    """
    if port is not None:
        _check_port(port)
    with _own_folder(output), stopping() as stop:
        with needs_extra("web", "gradio"):  # now, as libraries read the environment when they are imported
            import gradio  # noqa: F401  # before what needs OpenCV, which the same extra brings
        from fanet.web.app import LAUNCH, build_page
        from fanet.web.segmenting import predictor

        for name in models:
            predictor(name)
        page = build_page(models)
        page.launch(server_name=HOST, server_port=port, prevent_thread_lock=True, quiet=True, **LAUNCH)
        try:
            announce(str(page.local_url))
            stop.wait()
        finally:
            page.close(verbose=False)


def _check_port(port: int) -> None:
    """Check a port before anything is loaded."""
    if port not in _PORTS:
        raise UserError(f"there is no port {port}: give one from {_PORTS[0]} to {_PORTS[-1]}")
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise UserError(f"port {port} is taken or not allowed: give another, or leave --port out") from error


@contextmanager
def _own_folder(output: str | Path | None) -> Iterator[None]:
    """Let this process and its libraries write into one folder only, within the block."""
    folder = Path(tempfile.mkdtemp(prefix="fanet_web_") if output is None else make_folder(output)).resolve()
    former = {name: os.environ.get(name) for name in (*_FOLDERS, "NO_PROXY", "no_proxy", "GRADIO_ANALYTICS_ENABLED")}
    former_temporary = tempfile.tempdir
    try:
        for name, sub in _FOLDERS.items():
            os.environ[name] = str(make_folder(folder / sub))
        tempfile.tempdir = os.environ["TMPDIR"]
        # a proxy would not find this machine
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(filter(None, [former["NO_PROXY"], HOST]))
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        yield
    finally:
        tempfile.tempdir = former_temporary
        for name, value in former.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if output is None:
            shutil.rmtree(folder, ignore_errors=True)
