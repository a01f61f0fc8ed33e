"""Which images make which batch, and which worker computes which of them; indices alone.

The corpus is rows in file order, cut into windows of consecutive rows. An epoch visits the windows
in an order of its own and uses up one before the next, so that a worker keeps the images of one
window at hand, and the next, and never the corpus. All workers share each window: it is cut into
`LANES` of consecutive rows, and a worker owns the same lanes of every window.

In a window of n rows the rows of each lane are permuted, and the permuted lanes joined, which gives
n positions. With B = ceil(n / batch_size), each B positions in turn are dealt out to the B batches
in an order of their own. So

- each image is in one batch of the epoch;
- the batches of a window differ by one image at most, those of an epoch hardly more, and none is a
  remnant;
- a batch draws from all parts of its window, and takes from each worker equally many, to one image
  at each end of the worker's lanes;
- all depends on (seed, epoch, window) and on neither the number of workers nor interruptions.

n = images of a window, N = those of one batch, M = those of one worker.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.segnet.settings import LANES, TrainSettings

_STREAM = 0x6F726465
"""Keeps these random numbers apart from others of the same seed and epoch."""

AUTO_EPOCHS, AUTO_STEPS = 4, 450
"""What train.epochs=auto makes: so many epochs, or those that take so many steps if these are more.
Half of the steps left SegNet + cut below its labels where photographs differ much (scenes)."""

MANY_EPOCHS, FEW_STEPS = 30, 225
"""A small corpus is learned by heart with more epochs, unless so many steps take more."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one worker computes of one batch."""

    row_N: NDArray[np.int64]
    """Rows of the corpus; none, where the batch has none of this worker's."""
    num_images: int
    """Images of the batch over all workers."""


def windows(num_images: int, shuffle_images: int) -> list[range]:
    """Cut a corpus into the fewest windows of at most `shuffle_images` rows, of nearly one size."""
    count = -(-num_images // shuffle_images)
    bounds = [index * num_images // count for index in range(count + 1)]
    return [range(first, stop) for first, stop in zip(bounds, bounds[1:], strict=False)]


def num_epochs(settings: TrainSettings, num_images: int) -> int:
    """Give the number of epochs, also where the settings say auto.

    Args:
        settings: how is trained.
        num_images: in the corpus, 1 or more.
    """
    if settings.epochs != "auto":
        return settings.epochs
    rows = windows(num_images, settings.shuffle_images)
    steps = sum(-(-len(window) // settings.batch_size) for window in rows)
    enough = min(MANY_EPOCHS, -(-AUTO_STEPS // steps))
    return max(AUTO_EPOCHS, enough, -(-FEW_STEPS // steps))


def visits(num_windows: int, seed: int, epoch: int) -> list[int]:
    """Give the order in which an epoch, counted from 0, visits the windows."""
    order: list[int] = (
        np.random.default_rng((_STREAM, seed, epoch)).permutation(num_windows).tolist()
    )
    return order


def owned(rows: range, rank: int = 0, num_workers: int = 1) -> range:
    """Give the rows of a window that one of the workers, 1 to `LANES`, owns."""
    first, stop = (
        _lane_start(len(rows), worker * LANES // num_workers) for worker in (rank, rank + 1)
    )
    return rows[first:stop]


def batches(
    rows: range,
    window: int,
    epoch: int,
    settings: TrainSettings,
    rank: int = 0,
    num_workers: int = 1,
) -> Iterator[Share]:
    """Cut a window into batches, and give a worker's share of each.

    Args:
        rows: of the window, one or more.
        window: its number.
        epoch: counted from 0.
        settings: batch size and seed.
        rank: which of the workers this is.
        num_workers: 1 to `LANES`.
    """
    rng = np.random.default_rng((_STREAM, settings.seed, epoch, 1 + window))
    num_batches = -(-len(rows) // settings.batch_size)
    row_n = rows.start + _permute_lanes(len(rows), rng)
    batch_n = _deal(len(rows), num_batches, rng)
    mine = owned(range(len(rows)), rank, num_workers)
    row_M, batch_M = row_n[mine.start : mine.stop], batch_n[mine.start : mine.stop]
    by_batch_M = np.argsort(batch_M, kind="stable")
    ends = np.searchsorted(batch_M[by_batch_M], np.arange(1, num_batches))
    sizes = np.bincount(batch_n, minlength=num_batches).tolist()
    for row_N, num_images in zip(np.split(row_M[by_batch_M], ends), sizes, strict=True):
        yield Share(row_N=row_N, num_images=num_images)


def _lane_start(num_rows: int, lane: int) -> int:
    return num_rows * lane // LANES


def _permute_lanes(num_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    starts = [_lane_start(num_rows, lane) for lane in range(LANES + 1)]
    return np.concatenate(
        [
            start + rng.permutation(stop - start)
            for start, stop in zip(starts, starts[1:], strict=False)
        ]
    )


def _deal(num_rows: int, num_batches: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the batch of each position.

    Dealt out in turn, without chance, the images of a corpus hardly larger than `LANES` would meet
    in the same batches in every epoch, since a lane of one image cannot be permuted.
    """
    rounds = np.tile(np.arange(num_batches), (-(-num_rows // num_batches), 1))
    return rng.permuted(rounds, axis=1).ravel()[:num_rows]
