import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from iem_batch.errors import StorageError
from iem_batch.storage.read_ahead import BATCH, BATCHES_AHEAD, map_ahead, read_ahead


def test_map_ahead_keeps_order_and_takes_no_more_than_its_bound() -> None:
    """Catches results in order of completion, and a million names submitted at once."""
    slow = threading.Event()
    taken = []

    def double(number: int) -> int:
        assert number or slow.wait(60)  # the first is the last to be ready
        if number == 3:
            slow.set()
        return 2 * number

    results = map_ahead(double, (taken.append(n) or n for n in count()), num_threads=2)
    assert list(islice(results, 5)) == [0, 2, 4, 6, 8]
    assert len(taken) == 5 + 2 * 2 - 1
    results.close()  # ends the threads, else this test would not


def test_map_ahead_takes_an_iterable_for_each_argument() -> None:
    assert list(map_ahead(pow, [2, 3], [3, 2])) == [8, 9]
    with pytest.raises(ValueError, match="shorter"):
        list(map_ahead(pow, [2, 3], [3]))


def test_map_ahead_raises_where_the_call_does() -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise StorageError("disk on fire")
        return number

    results = map_ahead(fail, range(100), num_threads=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(StorageError, match="disk on fire"):
        next(results)


def test_read_ahead_is_bounded_and_keeps_order() -> None:
    """Catches a thread that reads a whole part into memory while another one is slow."""
    taken = [0, 0]

    def part(index: int) -> Iterator[int]:
        for item in range(20 * BATCH):
            taken[index] += 1
            yield item

    items = read_ahead([lambda: part(0), lambda: part(1)], num_threads=2)
    assert next(items) == 0
    assert [1 + item for item in islice(items, 3 * BATCH)] == list(range(2, 3 * BATCH + 2))
    assert taken[1] <= (BATCHES_AHEAD + 2) * BATCH
    items.close()


def test_read_ahead_raises_where_the_part_does() -> None:
    def part() -> Iterator[int]:
        yield 1
        raise StorageError("disk on fire")

    items = read_ahead([part, lambda: [2]], num_threads=2)
    with pytest.raises(StorageError, match="disk on fire"):
        list(items)
