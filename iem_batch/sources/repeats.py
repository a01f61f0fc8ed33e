"""Finding the images whose id an earlier image of the source has, in bounded memory.

Ids are compared by 128 bits of BLAKE2b. Among 10^9 ids two different ones share these with a
probability of 10^-21, so equal hashes are taken for equal ids.
"""

import hashlib
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from iem_batch.sources.protocol import Entry, IgnoredFile

MAX_IDS_IN_MEMORY = 1_000_000
"""More ids are sorted in files, in parts of which one is in memory at a time."""

NUM_PARTS = 256

_RECORD = np.dtype([("hash", "V16"), ("position", "<i8")])


@dataclass(frozen=True)
class Listed:
    """What a source lists, with the ids of the images of an entry, if they are known."""

    item: Entry | IgnoredFile
    image_ids: Sequence[str] = ()


def mark_repeats(found: Iterable[Listed]) -> Iterator[Entry | IgnoredFile]:
    """Give what was found in the same order, with `Entry.repeats` filled in.

    All is listed before the first item comes out; meanwhile it lies in a temporary file.
    """
    with tempfile.TemporaryFile() as spool, ExitStack() as files:
        ids, num_items = _Ids(files), 0
        for listed in found:
            pickle.dump((listed.item, len(listed.image_ids)), spool)
            ids.add(listed.image_ids)
            num_items += 1
        repeats = ids.repeats()
        spool.seek(0)
        position = 0
        for _ in range(num_items):
            item, num_ids = pickle.load(spool)
            first, last = np.searchsorted(repeats, (position, position + num_ids))
            if last > first:
                indices = item.start + repeats[first:last] - position
                item = replace(item, repeats=tuple(indices.tolist()))
            position += num_ids
            yield item


class _Ids:
    """Hashes of ids with their positions, in order of arrival; many lie in temporary files."""

    def __init__(self, files: ExitStack) -> None:
        self._count = 0
        self._hashes: list[bytes] = []
        self._parts: list[IO[bytes]] = []
        self._files = files

    def add(self, image_ids: Sequence[str]) -> None:
        self._hashes += [
            hashlib.blake2b(image_id.encode(), digest_size=16).digest() for image_id in image_ids
        ]
        self._count += len(image_ids)
        if len(self._hashes) >= MAX_IDS_IN_MEMORY:
            self._spill()

    def repeats(self) -> NDArray[np.int64]:
        """Give the positions of all ids that came before, in order."""
        if not self._parts:
            return np.sort(_repeats(self._records()))
        self._spill()
        found = []
        for part in self._parts:
            part.seek(0)
            found.append(_repeats(np.frombuffer(part.read(), _RECORD)))
        return np.sort(np.concatenate(found))

    def _records(self) -> NDArray[np.void]:
        records = np.empty(len(self._hashes), _RECORD)
        records["hash"] = np.frombuffer(b"".join(self._hashes), "V16")
        records["position"] = np.arange(self._count - len(self._hashes), self._count)
        self._hashes = []
        return records

    def _spill(self) -> None:
        if not self._parts:
            self._parts = [
                self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
                for _ in range(NUM_PARTS)
            ]
        records = self._records()
        number = records["hash"].copy().view(np.uint8).reshape(len(records), 16)[:, 0]
        records = records[np.argsort(number, kind="stable")]
        edges = np.searchsorted(np.sort(number), np.arange(NUM_PARTS + 1))
        for part, start, stop in zip(self._parts, edges, edges[1:], strict=False):
            part.write(records[start:stop].tobytes())


def _repeats(records: NDArray[np.void]) -> NDArray[np.int64]:
    """Positions rise within the records, and sorting by hash keeps that order."""
    halves = records["hash"].copy().view("<u8").reshape(len(records), 2)
    order = np.lexsort((halves[:, 0], halves[:, 1]))
    halves = halves[order]
    again = np.flatnonzero((halves[1:] == halves[:-1]).all(axis=1)) + 1
    positions: NDArray[np.int64] = records["position"][order[again]]
    return positions
