"""Which entries of a source are planned: all, the first, or a sample by chance."""

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import replace

from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Count, Entry, IgnoredFile, Source
from iem_batch.sources.protocol import without_format

SAMPLED_TOGETHER = 16
"""Images in an entry, at most, of which a sample is drawn: neighbours in a tar, Parquet or LMDB
come together, so that they are read together."""


def chosen(source: Source, settings: PlanSettings) -> Iterator[Entry | IgnoredFile]:
    """List the entries of a source that are to be planned, in the source's order.

    Raises:
        SourceError: the source cannot be listed.
    """
    items = source.entries(
        settings.shard_size
        if settings.sample is None
        else min(SAMPLED_TOGETHER, settings.shard_size)
    )
    if settings.sample is not None:
        prefix = without_format(source.url)
        if settings.sample < 1:
            items = _take_share(items, settings.sample, settings.seed, prefix)
        else:
            items = _take_number(items, int(settings.sample), settings.seed, prefix)
    return items if settings.limit is None else _take_first(items, settings.limit)


def _take_first(items: Iterator[Entry | IgnoredFile], limit: int) -> Iterator[Entry | IgnoredFile]:
    left = limit
    for item in items:
        if isinstance(item, Entry):
            item = _cut(item, left)
            left -= item.stop - item.start
        yield item
        if left == 0:
            return


def _take_share(
    items: Iterator[Entry | IgnoredFile], share: float, seed: int, prefix: str
) -> Iterator[Entry | IgnoredFile]:
    for item in items:
        if isinstance(item, IgnoredFile) or _chance(item, seed, prefix) < share:
            yield item


def _take_number(
    items: Iterator[Entry | IgnoredFile], number: int, seed: int, prefix: str
) -> Iterator[Entry | IgnoredFile]:
    """Take the entries of lowest chance until there are so many images; holds no more than that."""
    heap: list[tuple[float, int, Entry]] = []
    total = 0
    for index, item in enumerate(items):
        if isinstance(item, IgnoredFile):
            yield item
            continue
        heapq.heappush(heap, (-_chance(item, seed, prefix), -index, item))
        total += item.stop - item.start
        while total - (size := heap[0][2].stop - heap[0][2].start) >= number:
            heapq.heappop(heap)
            total -= size
    if total > number:
        chance, index, last = heap[0]
        heap[0] = (chance, index, _cut(last, last.stop - last.start - (total - number)))
    for _, _, entry in sorted(heap, key=lambda kept: -kept[1]):
        yield entry


def _chance(entry: Entry, seed: int, prefix: str) -> float:
    return draw(f"{seed} {entry.uri.removeprefix(prefix)} {entry.start}")


def draw(name: str) -> float:
    """Draw a number in [0, 1) that depends on the name alone, in every run and version."""
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _cut(entry: Entry, most: int) -> Entry:
    if entry.stop - entry.start <= most:
        return entry
    stop = entry.start + most
    count: Count = "exact" if entry.count == "exact" else "at_most"
    repeats = tuple(index for index in entry.repeats if index < stop)
    return replace(entry, stop=stop, count=count, repeats=repeats)
