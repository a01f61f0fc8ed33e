"""The images that could not be used: the tables in quarantine/ that `segment` has written."""

from typing import Any

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import REASON
from iem_batch.steps.places import done_shards

ENGINE_FAILED = "engine_failed"
"""Reason of an image on which the engine in IEM's place raises, or gives what is no mask."""

NO_MASK = "no_mask"
"""Of one that no file has a mask of, or none that can be used."""

NO_LABEL = (ENGINE_FAILED, NO_MASK)
"""Reasons of images of which later steps make masks all the same."""

HEALABLE = frozenset(("missing", "unreadable", "unreachable", "busy", REASON, *NO_LABEL))
"""Reasons that say something of the storage or the machine; all others stay what they are."""


def quarantined_shards(run: RunFolder) -> list[int]:
    """List the shards with images that could not be used; their files are `quarantine_part`."""
    files = layout.shards_of(run.names(layout.QUARANTINE), ".parquet")
    return [shard for shard in done_shards(run, "segment") if shard in files]


def quarantine_part(shard: int) -> str:
    """Name the table of the images of a shard that could not be used."""
    return layout.part(layout.QUARANTINE, shard)


def without_label(run: RunFolder, shard: int) -> dict[str, dict[str, Any]]:
    """Give the rows of the images of a shard that can be used and have no mask, by image_id."""
    name = quarantine_part(shard)
    rows = run.read_table(name).to_pylist() if run.exists(name) else []
    return {row["image_id"]: row for row in rows if row["error_class"] in NO_LABEL}
