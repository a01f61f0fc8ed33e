"""Doing the next items in threads while the results of the earlier ones are used, in order.

`map_ahead` is for results that are one value each, `read_ahead` for parts that are too large to be
held whole.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import Full, Queue
from threading import Event
from typing import Any, TypeVar

T = TypeVar("T")

REQUESTS = 16
"""Small files read or written at once: a thread mostly waits for the store's round trip."""

LARGE_REQUESTS = 8
"""The same for what fills memory while it waits: listings, images, whole shards."""

BATCH = 1000
"""Items a thread hands over at once, if they are as small as names."""

BATCHES_AHEAD = 4
"""Batches of a part that may wait: with their size and the threads, the bound of the memory."""

_POLL_S = 0.1

_Queue = Queue[list[T] | BaseException | None]
"""Batches, then the error that ended the part, or None."""


def map_ahead(
    function: Callable[..., T], *items: Iterable[Any], num_threads: int = REQUESTS
) -> Iterator[T]:
    """Give the results of `map` in order, some computed ahead; holds 2 x `num_threads` of them.

    Args:
        function: is called in threads.
        items: one iterable for each argument of `function`, all of one length; read as needed.
        num_threads: calls at a time.

    Raises:
        BaseException: whatever a call raises, after the results before it.
    """
    pool = ThreadPoolExecutor(num_threads)
    try:
        waiting: deque[Future[T]] = deque()
        for arguments in zip(*items, strict=True):
            waiting.append(pool.submit(function, *arguments))
            if len(waiting) == 2 * num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(
    parts: Iterable[Callable[[], Iterable[T]]], num_threads: int, batch: int = BATCH
) -> Iterator[T]:
    """Give the items of all parts, part by part, in order.

    Args:
        parts: functions that begin a part; each is called and iterated over in a thread of its own.
        num_threads: parts that are worked on at a time.
        batch: items handed over at once; of each part `BATCHES_AHEAD` batches may wait.

    Raises:
        BaseException: whatever a part raises, after the items before it.
    """
    waiting: deque[_Queue[T]] = deque()
    stopped = Event()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for part in parts:
                queue: _Queue[T] = Queue(BATCHES_AHEAD)
                pool.submit(_fill, queue, part, batch, stopped)
                waiting.append(queue)
                if len(waiting) == num_threads:
                    yield from _drain(waiting.popleft())
            while waiting:
                yield from _drain(waiting.popleft())
        finally:
            stopped.set()  # else the threads of an iteration that was given up wait for ever


def _fill(queue: _Queue[T], part: Callable[[], Iterable[T]], batch: int, stopped: Event) -> None:
    end: BaseException | None = None
    try:
        items = iter(part())
        while some := list(islice(items, batch)):
            if not _put(queue, some, stopped):
                return
    except BaseException as error:  # noqa: BLE001 - it is raised again by the iterating thread
        end = error
    _put(queue, end, stopped)


def _put(queue: _Queue[T], item: list[T] | BaseException | None, stopped: Event) -> bool:
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_POLL_S)
        except Full:
            continue
        return True
    return False


def _drain(queue: _Queue[T]) -> Iterator[T]:
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield from item
