"""The manifest of a plan: which entries of the source make which shard.

A file holds many shards, each in a row group of its own, so that a worker reads one shard of it and
a plan of millions of images needs few files.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.errors import StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import MANIFEST
from iem_batch.run.tables import ALONE
from iem_batch.sources import Entry

SHARDS_PER_FILE = 256


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
    kept = [shard_entries(run, number * SHARDS_PER_FILE + at) for at in range(index)]
    remaining = chain(kept, [first], new)
    num_shards = number * SHARDS_PER_FILE
    while some := _one_file(remaining):
        run.write_bytes(layout.manifest_part(num_shards // SHARDS_PER_FILE), some[1])
        num_shards += some[0]
    return num_shards


def all_entries(run: RunFolder, first: int, stop: int) -> Iterator[Entry]:
    """Read the entries of the shards first..stop-1, in order, file by file.

    Raises:
        StorageError: the manifest cannot be read.
    """
    for number in range(first // SHARDS_PER_FILE, -(-stop // SHARDS_PER_FILE)):
        with run.open(layout.manifest_part(number)) as opened:
            file = pq.ParquetFile(opened, **ALONE)
            start = number * SHARDS_PER_FILE
            for shard in range(max(first, start), min(stop, start + SHARDS_PER_FILE)):
                yield from _entries(file.read_row_group(shard - start, use_threads=False))


def _one_file(shards: Iterable[list[Entry]]) -> tuple[int, bytes] | None:
    """Encode the next shards; None when there are none."""
    sink, count = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, MANIFEST, compression="zstd") as writer:
        for entries in islice(shards, SHARDS_PER_FILE):
            columns = {name: [getattr(entry, name) for entry in entries] for name in MANIFEST.names}
            writer.write_table(pa.table(columns, schema=MANIFEST), row_group_size=len(entries))
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
    return _entries(table)


def _entries(table: pa.Table) -> list[Entry]:
    return [Entry(**row | {"repeats": tuple(row["repeats"])}) for row in table.to_pylist()]
