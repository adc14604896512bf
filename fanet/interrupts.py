"""Ctrl-C while the command line is still importing."""

import os
import signal
import sys

INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended


def leave_without_traceback() -> None:
    """From now on let Ctrl-C end the command at once, in one line. Does nothing in other programs that import fanet."""
    if _is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_again() -> None:
    """From now on let Ctrl-C raise `KeyboardInterrupt`, as Python does."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_command() -> bool:
    """Return whether this process runs `fanet` or `python -m fanet`; `sys.argv` says neither this early."""
    name = os.path.splitext(os.path.basename(sys.argv[0] if sys.argv else ""))[0]
    return name == "fanet" or (name == "-m" and "fanet" in sys.orig_argv)


def _leave(*_: object) -> None:
    print("fanet: interrupted", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # an exception could be swallowed by the import that it hits
