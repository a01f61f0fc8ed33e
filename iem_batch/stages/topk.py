"""The step `topk`: the masks of highest inpainting error in the whole run."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.run_folder import RunFolder
from iem_batch.stages.choose import chosen_rows, dataset_side
from iem_batch.stages.settings import SelectSettings

_COLUMNS = ["image_id", "init_side", "error", "status"]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What `topk` found."""

    num_images: int
    """Images with a mask."""
    num_undefined: int
    """Images whose mask came out empty or full; they are never selected."""
    num_selected: int
    cut: float | None
    """Inpainting error of the last mask selected; None where nothing is selected."""
    side: int
    """The first mask with the highest mean error over the data set."""


def topk(run: RunFolder, num_shards: int, settings: SelectSettings) -> Selection:
    """Select the k masks of highest error E (without the diversity term) and write selection/.

    Ties go to the image_id that sorts first, so the selection does not depend on the sharding.
    Memory is bounded by k and one shard.

    Args:
        run: a run whose masks/ is complete.
        num_shards: shards of its plan.
        settings: k, and how one first mask of each image is chosen.

    Returns:
        What was selected.
    """
    side = dataset_side(run.marks("masks", range(num_shards)))
    num_images = num_undefined = 0
    best = schema.SELECTION.empty_table().drop_columns("rank")
    for shard, rows in _chosen(run, num_shards, settings, side):
        defined = rows.filter(pc.equal(rows["status"], "ok"))
        num_images += len(rows)
        num_undefined += len(rows) - len(defined)
        candidates = defined.select(["image_id", "init_side", "error"]).add_column(
            1, "shard", pa.array(np.full(len(defined), shard, dtype=np.int32))
        )
        best = _highest(pa.concat_tables([best, candidates.cast(best.schema)]), settings.k)
    rank = pa.array(np.arange(len(best), dtype=np.int32))
    table = best.append_column("rank", rank).cast(schema.SELECTION)
    run.write_table(run_folder.TOPK, table)
    return Selection(
        num_images=num_images,
        num_undefined=num_undefined,
        num_selected=len(table),
        cut=table["error"][-1].as_py() if len(table) else None,
        side=side,
    )


def selection_depends_on(settings: SelectSettings, masks_digest: str) -> dict[str, Any]:
    """List what selection/ depends on, for `RunFolder.begin_step`."""
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "select": asdict(settings),
        "masks": masks_digest,
    }


def _chosen(
    run: RunFolder, num_shards: int, settings: SelectSettings, side: int
) -> Iterator[tuple[int, pa.Table]]:
    for shard in range(num_shards):
        table = run.read_table(run_folder.part("masks", shard), columns=_COLUMNS)
        yield shard, chosen_rows(table, settings.init_choice, side)


def _highest(table: pa.Table, k: int) -> pa.Table:
    order = [("error", "descending"), ("image_id", "ascending")]
    return table.sort_by(order).slice(0, k).combine_chunks()
