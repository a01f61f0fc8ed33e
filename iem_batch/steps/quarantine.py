"""The images that could not be used: the tables in quarantine/ that `segment` has written."""

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import ENGINE_REASON, REASON
from iem_batch.steps.places import done_shards

HEALABLE = frozenset(("missing", "unreadable", "unreachable", "busy", REASON, ENGINE_REASON))
"""Reasons that say something of the storage or the machine; all others stay what they are."""


def quarantined_shards(run: RunFolder) -> list[int]:
    """List the shards with images that could not be used; their files are `quarantine_part`."""
    files = layout.shards_of(run.names(layout.QUARANTINE), ".parquet")
    return [shard for shard in done_shards(run, "segment") if shard in files]


def quarantine_part(shard: int) -> str:
    """Name the table of the images of a shard that could not be used."""
    return layout.part(layout.QUARANTINE, shard)
