"""Ctrl-C: while the command line is still importing, and where it is the way to end a command."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended


def leave_without_traceback() -> None:
    """From now on let Ctrl-C end the command at once, in one line. Does nothing in other programs that import fanet."""
    if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """From now on let Ctrl-C raise `KeyboardInterrupt`, as Python does."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Within the block let the first Ctrl-C, or request to terminate, set an event; further ones end it at once.

    Only the main thread may use it.
    """
    stop = threading.Event()
    former: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def set_once(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    for number in former:  # also where they were ignored, as in the background: there is no other way to end
        signal.signal(number, set_once)
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def end_at_once(status: int = 0) -> NoReturn:
    """End the process, whatever its other threads compute.

    Python's own way would stop them within the libraries that they are in, and some, such as torch, abort then.

    Args:
        status: The exit status.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _is_command() -> bool:
    """Return whether this process runs `fanet` or `python -m fanet`; `sys.argv` says neither this early."""
    name = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
    return name == "fanet" or (name == "-m" and "fanet" in sys.orig_argv)


def _leave(*_: object) -> None:
    print("fanet: interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # an exception could be swallowed by the import that it hits
