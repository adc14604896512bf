"""Cores, and threads that read the next images and write the last one while the network computes.

The number of items that are read ahead or wait to be written is fixed, so that memory stays bounded however slow one
side is. Threads suffice: decoding and encoding release the GIL.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return how many cores this process may use: those of the machine, or fewer where it is bound to some."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def read_ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Yield an iterator over `items` that computes the next item in a thread while the last one is in use.

    An exception is raised in place of its item. Once the block is left, nothing more is read.
    """
    source = iter(items)
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:

        def iterate() -> Iterator[Any]:
            upcoming = reader.submit(next, source, end)
            while (item := upcoming.result()) is not end:
                upcoming = reader.submit(next, source, end)
                yield item

        yield iterate()


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Apply `function` to each item, in order; `workers` threads are up to `workers` items ahead of the caller.

    An exception is raised in place of its result.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="map_ahead") as executor:
        pending: deque[Future[Result]] = deque()
        remaining = iter(items)
        try:
            for item in itertools.islice(remaining, workers + 1):
                pending.append(executor.submit(function, item))
            while pending:
                result = pending.popleft().result()
                pending.extend(executor.submit(function, item) for item in itertools.islice(remaining, 1))
                yield result
        finally:
            for future in pending:
                future.cancel()


class Background:
    """Runs one call at a time in a thread. As a context manager, it ends when the last call has ended.

    An exception in a call is raised by the next `submit`, or at the end of the block unless the block itself failed.
    """

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._running: Future | None = None

    def submit(self, call: Callable[..., object], *args: Any) -> None:
        """Wait for the previous call, then start this one."""
        self._wait()
        self._running = self._writer.submit(call, *args)

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._writer.shutdown(wait=True)
        if kind is None:
            self._wait()

    def _wait(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.result()
