"""The images that could not be used: the tables in quarantine/ that `segment` has written."""

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_record


def quarantined_shards(run: RunFolder) -> list[int]:
    """List the shards with images that could not be used; their files are `quarantine_part`."""
    record = read_record(run, "segment")
    shards = range(0 if record is None else record.num_shards)
    files = layout.shards_of(run.names(layout.QUARANTINE), ".parquet")
    return sorted(files & committed(run, "segment") & set(shards))


def quarantine_part(shard: int) -> str:
    """Name the table of the images of a shard that could not be used."""
    return layout.part(layout.QUARANTINE, shard)
