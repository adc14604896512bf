"""What commands print: lines that any terminal takes, and warnings about many files in a few lines."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fanet.errors import InputWarning


def print_line(text: str) -> None:
    """Print one line, with escapes for letters that the terminal has not."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def grouped_warnings() -> Iterator[None]:
    """Print warnings about inputs when the block ends: for each kind of trouble the first, and how many are like it."""
    messages: dict[str, dict[str, None]] = {}  # ordered sets, by kind
    with warnings.catch_warnings():
        warnings.simplefilter("always", InputWarning)
        show = warnings.showwarning

        def collect(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if isinstance(message, InputWarning):
                messages.setdefault(message.kind, {})[str(message)] = None
            else:
                show(message, category, *rest, **more)

        warnings.showwarning = collect
        try:
            yield
        finally:
            for told in messages.values():
                more = f" (and {len(told) - 1} more like it)" if len(told) > 1 else ""
                print(f"fanet: warning: {' '.join(next(iter(told)).split())}{more}", file=sys.stderr)
