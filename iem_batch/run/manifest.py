"""The manifest of a plan: which entries of the source make which shard.

A file holds many shards, each in a row group of its own, so that a worker reads one shard of it and
a plan of millions of images needs few files.
"""

from collections.abc import Iterable
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.errors import StorageError
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import MANIFEST
from iem_batch.sources import Entry

SHARDS_PER_FILE = 256


def write_manifest(run: RunFolder, shards: Iterable[list[Entry]]) -> int:
    """Write the entries of all shards, and delete what an earlier, longer manifest has left.

    Returns:
        The number of shards.

    Raises:
        StorageError: the run folder cannot be written.
    """
    remaining = iter(shards)
    num_shards, names = 0, set()
    while some := _one_file(remaining):
        name = layout.manifest_part(num_shards // SHARDS_PER_FILE)
        run.write_bytes(name, some[1])
        names.add(name.rpartition("/")[2])
        num_shards += some[0]
    folder = layout.manifest_part(0).rpartition("/")[0]
    for left in set(run.names(folder)) - names:
        delete_own(run, f"{folder}/{left}")
    return num_shards


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
            table = pq.ParquetFile(file).read_row_group(index)
    except (FileNotFoundError, IndexError, pa.ArrowException) as error:
        raise StorageError(f"the manifest of {run.url} has no shard {shard}") from error
    return [Entry(**row | {"repeats": tuple(row["repeats"])}) for row in table.to_pylist()]
