"""The manifest of a plan: which entries of the source make which shard.

A file holds many shards, each in a row group of its own, so that a worker reads one shard of it and
a plan of millions of images needs few files.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.errors import StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import MANIFEST
from iem_batch.run.tables import ALONE
from iem_batch.sources import Entry

SHARDS_PER_FILE = 256

Row = tuple[Any, ...]
"""The values of an entry in the order of `MANIFEST`: made in less time than the entry."""

row_of: Callable[[Entry], Row] = attrgetter(*MANIFEST.names)
"""Gives the values of an entry."""


def manifest_files(num_shards: int) -> list[str]:
    """Name the files of a manifest of so many shards."""
    return [layout.manifest_part(number) for number in range(-(-num_shards // SHARDS_PER_FILE))]


def append_manifest(run: RunFolder, num_before: int, shards: Iterable[list[Entry]]) -> int:
    """Write the entries of further shards; those of the first ones stay as they are.

    Args:
        run: the run.
        num_before: the number of the first shard that is written.
        shards: the entries of each.

    Returns:
        The number of shards in all.

    Raises:
        StorageError: the run folder cannot be written.
    """
    new = iter(shards)
    first = next(new, None)
    if first is None:
        return num_before
    number, index = divmod(num_before, SHARDS_PER_FILE)
    num_shards = number * SHARDS_PER_FILE
    kept = _tables(run, num_shards, num_before) if index else ()
    remaining = chain(kept, map(_table, chain([first], new)))
    while some := _one_file(remaining):
        run.write_bytes(layout.manifest_part(num_shards // SHARDS_PER_FILE), some[1])
        num_shards += some[0]
    return num_shards


def all_rows(run: RunFolder, first: int, stop: int) -> Iterator[Row]:
    """Read the entries of the shards first..stop-1, in order, as what `row_of` makes of them.

    Raises:
        StorageError: the manifest cannot be read.
    """
    for table in _tables(run, first, stop):
        yield from _rows(table)


def _tables(run: RunFolder, first: int, stop: int) -> Iterator[pa.Table]:
    """Read the shards first..stop-1, a table each, file by file."""
    for number in range(first // SHARDS_PER_FILE, -(-stop // SHARDS_PER_FILE)):
        with run.open(layout.manifest_part(number)) as opened:
            file = pq.ParquetFile(opened, **ALONE)
            start = number * SHARDS_PER_FILE
            for shard in range(max(first, start), min(stop, start + SHARDS_PER_FILE)):
                yield file.read_row_group(shard - start, use_threads=False)


def _table(entries: list[Entry]) -> pa.Table:
    columns = {name: [getattr(entry, name) for entry in entries] for name in MANIFEST.names}
    return pa.table(columns, schema=MANIFEST)


def _one_file(shards: Iterable[pa.Table]) -> tuple[int, bytes] | None:
    """Encode the next shards; None when there are none."""
    sink, count = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, MANIFEST, compression="zstd") as writer:
        for table in islice(shards, SHARDS_PER_FILE):
            writer.write_table(table, row_group_size=len(table))
            count += 1
    return (count, sink.getvalue().to_pybytes()) if count else None


def shard_entries(run: RunFolder, shard: int) -> list[Entry]:
    """Read which pieces of the source make a shard, in order.

    Raises:
        StorageError: the manifest has no such shard.
    """
    number, index = divmod(shard, SHARDS_PER_FILE)
    try:
        with run.open(layout.manifest_part(number)) as file:
            table = pq.ParquetFile(file, **ALONE).read_row_group(index, use_threads=False)
    except (FileNotFoundError, IndexError, pa.ArrowException) as error:
        raise StorageError(f"the manifest of {run.url} has no shard {shard}") from error
    return [entry_of(row) for row in _rows(table)]


def _rows(table: pa.Table) -> Iterator[Row]:
    columns = {name: table[name].to_pylist() for name in MANIFEST.names}
    columns["repeats"] = map(tuple, columns["repeats"])
    return zip(*columns.values(), strict=True)


def entry_of(row: Row) -> Entry:
    """Make an entry of its values."""
    return Entry(**dict(zip(MANIFEST.names, row, strict=True)))
