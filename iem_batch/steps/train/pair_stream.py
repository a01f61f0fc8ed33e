"""The batches of a worker, read from export/ window by window.

While one window is trained on, a thread reads the next into the cache. Which windows stay in the
cache changes nothing but the time.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.segnet import order
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.validation import Labelled
from iem_batch.steps.train.cache import Layout, PairCache, open_cache, plan_layout
from iem_batch.steps.train.pair_files import PairFiles, read_pairs


class PairStream:
    """The share of one worker; see `open_stream`.

    Args:
        files: those of the corpus.
        settings: how it is trained on.
        rank: which worker this is.
        num_workers: how many there are.
        cache: disk for its windows.
        reader: one thread, to read ahead.
        decoders: threads that decode.
    """

    def __init__(
        self,
        files: PairFiles,
        settings: TrainSettings,
        rank: int,
        num_workers: int,
        cache: PairCache,
        reader: ThreadPoolExecutor,
        decoders: ThreadPoolExecutor,
    ) -> None:
        self._files, self._settings, self._cache = files, settings, cache
        self._rank, self._num_workers = rank, num_workers
        self._reader, self._decoders = reader, decoders
        self._windows = order.windows(files.num_pairs, settings.shuffle_images)
        self._present: dict[int, tuple[int, Future[None]]] = {}
        """Window -> the place of its first record, and when all of it has been read."""
        self._closed = threading.Event()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give this worker's share of each batch of an epoch, counted from 0."""
        visits = self._visits(epoch)
        ahead = visits[1:]
        assert self._settings.epochs != "auto"
        if epoch + 1 < self._settings.epochs:
            ahead = [*ahead, self._visits(epoch + 1)[0]]
        for window, following in zip_longest(visits, ahead):
            self._fetch(window)
            first, read = self._present[window]
            read.result()
            if following is not None:
                self._fetch(following, beside=window)
            yield from self._batches_of(window, first, epoch)

    def close(self) -> None:
        """Stop a read in progress at its next rows."""
        self._closed.set()

    def _visits(self, epoch: int) -> list[int]:
        return order.visits(len(self._windows), self._settings.seed, epoch)

    def _batches_of(self, window: int, first: int, epoch: int) -> Iterator[Batch]:
        rows = self._windows[window]
        to_place = first - order.owned(rows, self._rank, self._num_workers).start
        for share in order.batches(
            rows, window, epoch, self._settings, self._rank, self._num_workers
        ):
            record_N = self._cache.read(share.row_N + to_place)
            yield _to_batch(record_N, share, self._files.shape_HW)

    def _fetch(self, window: int, beside: int | None = None) -> None:
        """Begin to read a window that is not there, into a place that `beside` does not take."""
        if window in self._present:
            return
        place = self._cache.layout.kept.get(window)
        if place is None:
            taken = self._present[beside][0] if beside is not None else None
            place = next(slot for slot in self._cache.layout.scratch if slot != taken)
            self._present = {
                other: (slot, read)
                for other, (slot, read) in self._present.items()
                if slot != place
            }
        self._present[window] = place, self._reader.submit(self._read, window, place)

    def _read(self, window: int, place: int) -> None:
        rows = order.owned(self._windows[window], self._rank, self._num_workers)
        for record_N in read_pairs(self._files, rows, self._decoders.map):
            if self._closed.is_set():
                return
            self._cache.write(place, record_N)
            place += len(record_N)


@contextmanager
def open_stream(
    files: PairFiles,
    settings: TrainSettings,
    *,
    rank: int = 0,
    num_workers: int = 1,
    num_threads: int = 1,
) -> Iterator[PairStream]:
    """Take disk for a worker's share of the corpus, and threads to read it.

    Args:
        files: those of the corpus.
        settings: how it is trained on.
        rank: which worker this is.
        num_workers: how many there are.
        num_threads: threads that decode.

    Raises:
        SettingsError: the disk allowed is too small for a window and the next.
        StorageError: the disk is full.
    """
    layout = _layout(files, settings, rank, num_workers)
    with (
        open_cache(files.record, layout) as cache,
        ThreadPoolExecutor(num_threads, "decode") as decoders,
        ThreadPoolExecutor(1, "read ahead") as reader,
    ):
        stream = PairStream(files, settings, rank, num_workers, cache, reader, decoders)
        try:
            yield stream
        finally:
            stream.close()


def labelled_pairs(
    files: PairFiles | None, *, rank: int = 0, num_workers: int = 1, num_threads: int = 1
) -> Iterator[Labelled]:
    """Give a worker's share of the pairs held back, a few at once, decoded anew each time.

    Args:
        files: those pairs; None gives nothing.
        rank: which worker this is.
        num_workers: how many there are.
        num_threads: threads that decode.

    Raises:
        StorageError: a file cannot be read, or a picture is damaged or of another size.
    """
    if files is None:
        return
    rows = order.owned(range(files.num_pairs), rank, num_workers)
    with ThreadPoolExecutor(num_threads, "decode") as decoders:
        for record_N in read_pairs(files, rows, decoders.map):
            yield _tensors(record_N, files.shape_HW)


def check_cache(files: PairFiles, settings: TrainSettings, num_workers: int) -> None:
    """Check, before any worker starts, that each may take as much disk as it needs.

    Raises:
        SettingsError: the disk allowed is too small for a window and the next.
    """
    for rank in range(num_workers):
        _layout(files, settings, rank, num_workers)


def _layout(files: PairFiles, settings: TrainSettings, rank: int, num_workers: int) -> Layout:
    windows = order.windows(files.num_pairs, settings.shuffle_images)
    sizes = [len(order.owned(rows, rank, num_workers)) for rows in windows]
    return plan_layout(sizes, files.record.itemsize, settings.cache_mb)


def _to_batch(record_N: NDArray[np.void], share: order.Share, shape_HW: tuple[int, int]) -> Batch:
    image_NHW3, mask_NHW = _tensors(record_N, shape_HW)
    return Batch(
        image_NHW3=image_NHW3,
        mask_NHW=mask_NHW,
        row_N=torch.from_numpy(share.row_N),
        num_images=share.num_images,
    )


def _tensors(record_N: NDArray[np.void], shape_HW: tuple[int, int]) -> Labelled:
    height, width = shape_HW
    bits = np.unpackbits(record_N["mask"], axis=1, count=height * width)
    mask_NHW = torch.from_numpy(bits.reshape(-1, height, width)).bool()
    return torch.from_numpy(np.ascontiguousarray(record_N["image"])), mask_NHW
