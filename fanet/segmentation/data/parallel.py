"""Work on many items in several processes, with a progress bar."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from tqdm import tqdm

from fanet.threads import available_cores

Result = TypeVar("Result")


@contextmanager
def parallel_map(
    function: Callable[[int], Result],
    count: int,
    title: str,
    unit: str,
    workers: int | None = None,
    fewest_per_worker: int = 64,
) -> Iterator[Iterator[Result]]:
    """Give the block an iterator over `function(0)` … `function(count - 1)`, in order, computed ahead.

    Args:
        function: A picklable function of an index.
        count: Number of calls.
        title: Title of the progress bar.
        unit: What the bar counts.
        workers: Number of processes; by default one per core, and 1 computes in this process.
        fewest_per_worker: With `workers=None`, the fewest calls that are worth a process.
    """
    if workers is None:
        workers = min(available_cores(), count // fewest_per_worker)
    progress = partial(tqdm, total=count, desc=title, unit=unit, dynamic_ncols=True)
    if workers <= 1:
        yield iter(progress(map(function, range(count))))
        return
    # Spawned, not forked: forking a process in which torch has started threads can hang.
    # Workers ignore Ctrl-C: this process handles it, waits for the running calls and cancels the rest.
    executor = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(function,),
    )
    try:
        yield iter(progress(executor.map(_call, range(count), chunksize=4)))
    finally:
        executor.shutdown(cancel_futures=True)


# A worker's function. It is sent once and not with every call, as it may hold the names of a whole data set.
_function: Callable[[int], Any] | None = None


def _start(function: Callable[[int], Any]) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _function = function


def _call(index: int) -> Any:
    assert _function is not None, "a worker starts with _start"
    return _function(index)
