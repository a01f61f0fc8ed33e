"""What the tables of a run hold of selected images."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import Plan
from iem_batch.steps.topk.labels import Labels

_NOTHING_KEPT = pa.table({"image_id": pa.array([], pa.string())})


def masks_of(labels: Labels, source_shard: int, selected: pa.Table) -> dict[str, dict[str, Any]]:
    """Read the masks of the images selected of a shard; image_id -> its row."""
    columns = ["image_id", "mask", "status", "width", "height"]
    table = labels.place.read_table(layout.part(labels.step, source_shard), columns=columns)
    table = table.filter(pc.is_in(table["image_id"], selected["image_id"].combine_chunks()))
    return {row["image_id"]: row for row in table.to_pylist()}


def kept_rows(run: RunFolder, plan: Plan, source_shard: int, selected: pa.Table) -> pa.Table:
    """Read what fuse has kept of the source: image_id and the columns of `plan.keep`."""
    if not plan.kept_columns:
        return _NOTHING_KEPT
    columns = ["image_id", *plan.kept_columns]
    table = run.read_table(layout.part("fuse", source_shard), columns)
    return table.filter(pc.is_in(table["image_id"], selected["image_id"].combine_chunks()))
