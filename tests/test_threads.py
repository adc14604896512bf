import os
import threading
import time

import pytest

from fanet.threads import Background, available_cores, read_ahead


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds processes to cores")
def test_cores_are_those_that_the_process_is_bound_to():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)


def test_items_arrive_in_order_and_none_is_lost():
    with read_ahead(range(50)) as items:
        assert list(items) == list(range(50))
    with read_ahead([]) as items:
        assert list(items) == []


def test_at_most_one_item_is_read_ahead():
    made = []
    with read_ahead(made.append(i) or i for i in range(10)) as items:
        for item in items:
            time.sleep(0.01)
            assert len(made) <= item + 2


def test_failure_of_the_reader_is_raised():
    def broken():
        yield 1
        raise ValueError("broken")

    with read_ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_reading_stops_with_the_block():
    made = []
    with pytest.raises(KeyboardInterrupt), read_ahead(made.append(i) or i for i in range(10)) as items:
        next(items)
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reader")] and len(made) <= 2


def test_calls_run_in_order_and_one_at_a_time():
    done = []
    with Background() as background:
        for i in range(5):
            background.submit(lambda i: (time.sleep(0.005), done.append(i)), i)
            assert len(done) >= i
    assert done == list(range(5))


def _fail(message: str) -> None:
    raise OSError(message)


def test_failure_of_the_last_call_is_raised():
    with pytest.raises(OSError, match="full"), Background() as background:
        background.submit(_fail, "full")


def test_failure_of_an_earlier_call_stops_the_block():
    reached = []
    with pytest.raises(OSError, match="full"), Background() as background:
        background.submit(_fail, "full")
        background.submit(reached.append, 1)
    assert not reached


def test_failure_of_the_block_is_raised_before_that_of_a_call():
    with pytest.raises(KeyboardInterrupt), Background() as background:
        background.submit(_fail, "full")
        raise KeyboardInterrupt
