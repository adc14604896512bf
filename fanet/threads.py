"""Work that goes on beside the network: the next pictures are read and the last one written while it computes.

What is read ahead and what waits to be written is a fixed number of items, so that memory stays bounded however slow
one side is. Threads suffice: decoding and encoding leave the interpreter to others.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def read_ahead(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """An iterator over `items` whose next item is made in a thread while the last one is in use.

    An exception comes out where its item would have. Once the block is left, nothing is read any more.
    """
    source = iter(items)
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:

        def iterate() -> Iterator[Any]:
            coming = reader.submit(next, source, end)
            while (item := coming.result()) is not end:
                coming = reader.submit(next, source, end)
                yield item

        yield iterate()


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function` of each item, in order; `workers` threads are up to `workers` items ahead of the caller.

    An exception comes out where its result would have.
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

    An exception in a call comes out of the next `submit`, or of the end of the block; but where the block itself fails,
    its own exception does.
    """

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._running: Future | None = None

    def submit(self, call: Callable[..., object], *args: Any) -> None:
        """Waits for the call before this one, then starts this one."""
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
