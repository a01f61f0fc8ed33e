"""Decoded pairs on a local disk, within a bound.

The file is read and written, not mapped: what is mapped counts as memory of the process, and a full
or failing disk would end it by a signal instead of an error.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import SettingsError, StorageError

_MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where in a cache the windows of a worker lie; a place is the number of a record."""

    kept: dict[int, int]
    """Window -> the place of its first record, for those that stay."""
    scratch: tuple[int, ...]
    """First places of the two slots that the other windows take turns in; none if all stay."""
    num_records: int
    """Records in all."""


def plan_layout(sizes: Sequence[int], record_bytes: int, cache_mb: int) -> Layout:
    """Decide which windows of a worker stay in its cache: the first that fit.

    Args:
        sizes: records of each window.
        record_bytes: size of one.
        cache_mb: the most the cache may take.

    Raises:
        SettingsError: not even two windows fit, one to train on and one to read ahead.
    """
    capacity = cache_mb * _MB // record_bytes
    places = [0, *np.cumsum(sizes).tolist()]
    if places[-1] <= capacity:
        return Layout(kept=dict(enumerate(places[:-1])), scratch=(), num_records=places[-1])
    largest = max(sizes)
    if 2 * largest > capacity:
        needed = -(-min(2 * largest, places[-1]) * record_bytes // _MB)
        raise SettingsError(
            f"train.cache_mb is {cache_mb}, and the images that a worker mixes with one another "
            f"take {needed} MB of disk; raise it, lower train.shuffle_images, or take more workers"
        )
    num_kept = sum(place + 2 * largest <= capacity for place in places[1:])
    return Layout(
        kept=dict(enumerate(places[:num_kept])),
        scratch=(places[num_kept], places[num_kept] + largest),
        num_records=places[num_kept] + 2 * largest,
    )


@dataclass(frozen=True, kw_only=True)
class PairCache:
    """Records in an open file without a name, so that nothing is left of it however it ends."""

    descriptor: int
    record: np.dtype[np.void]
    layout: Layout

    def write(self, place: int, record_N: NDArray[np.void]) -> None:
        """Write records one behind the other, from a place on.

        Raises:
            StorageError: the disk is full or fails.
        """
        rest, offset = record_N.view(np.uint8).data, place * self.record.itemsize
        with _explained():
            while rest:
                written = os.pwrite(self.descriptor, rest, offset)
                rest, offset = rest[written:], offset + written

    def read(self, place_N: NDArray[np.int64]) -> NDArray[np.void]:
        """Read the records of some places.

        Raises:
            StorageError: the disk fails.
        """
        record_N = np.empty(len(place_N), dtype=self.record)
        size = self.record.itemsize
        parts = record_N.view(np.uint8).data
        with _explained():
            for index, place in enumerate(place_N.tolist()):
                part = parts[index * size : (index + 1) * size]
                if os.preadv(self.descriptor, [part], place * size) < size:
                    raise OSError("the file of the cache has become shorter")
        return record_N


@contextmanager
def open_cache(record: np.dtype[np.void], layout: Layout) -> Iterator[PairCache]:
    """Take the disk for a cache, in the folder for temporary files.

    Args:
        record: what one record is.
        layout: how many there may be, and where.

    Raises:
        StorageError: the disk is full.
    """
    with ExitStack() as stack:
        with _explained():
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            if hasattr(os, "posix_fallocate"):  # not on macOS; there a full disk is found later
                os.posix_fallocate(file.fileno(), 0, max(1, layout.num_records * record.itemsize))
        yield PairCache(descriptor=file.fileno(), record=record, layout=layout)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot keep the decoded images of the corpus in {tempfile.gettempdir()}: "
            f"{error.strerror or error}; make room there, lower train.cache_mb, or let the "
            "environment variable TMPDIR name another folder"
        ) from error
