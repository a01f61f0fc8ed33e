"""The first k images of some shards, by inpainting error.

The images are put in an order that does not depend on the sharding, and the first k are taken. As
the first k of a part of them hold all of the first k of the whole that are in this part, shards are
read in any order and by any number of workers, and nobody holds more than k rows and some shards.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.data import run_folder, schema
from iem_batch.data.run_folder import RunFolder
from iem_batch.stages.choose import chosen_rows
from iem_batch.stages.groups import Groups, open_groups
from iem_batch.stages.settings import SelectSettings
from iem_batch.stages.survey import ERROR_BINS

READERS = 8
"""Shards that are read at once."""

SHARDS_PER_PRUNING = 32
"""Shards whose candidates are held before all but the best are dropped."""

ORDER = [("error", "descending"), ("image_id", "ascending")]
NO_ROWS = schema.SELECTION.empty_table().drop_columns("rank")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of the shards; it is sent to every worker."""

    run: RunFolder
    settings: SelectSettings
    k: int
    """Rows wanted: what the settings say has been resolved."""
    side: int
    """What `dataset_side` gave."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What some shards have to offer."""

    best: pa.Table
    """At most k rows: image_id, shard, init_side, error, and group where groups are asked for."""
    histogram: NDArray[np.int64]
    """Images by inpainting error, in `ERROR_BINS`; defined masks only."""
    num_images: int
    num_undefined: int
    num_outside: int
    """Images left out for the area of their mask, or because they are in no group."""


def candidates(query: Query, shards: Iterable[int]) -> Candidates:
    """Find the first k rows of some shards.

    The mask column, most of the bytes, is read only if `max_frame` asks for it, and then of those
    shards alone that have a row good enough.
    """
    groups = open_groups(query.settings)
    found = _nothing()
    floor = -np.inf
    todo = iter(shards)
    with ThreadPoolExecutor(READERS) as pool:
        while batch := list(islice(todo, SHARDS_PER_PRUNING)):
            offered = _together(list(pool.map(partial(_offer, query, floor), batch)))
            if groups is not None:
                offered = _in_groups(offered, groups)
            found = merge(query.k, [found, offered] if found.num_images else [offered])
            if groups is None and len(found.best) == query.k > 0:
                # What is below the k-th best so far is not looked at further, its id not even read.
                floor = found.best["error"][-1].as_py()
    return found


def merge(k: int, parts: Sequence[Candidates]) -> Candidates:
    """Put the candidates of different shards together and keep the first k."""
    together = _together(parts)
    return replace(together, best=first_rows(together.best, k))


def _offer(query: Query, floor: float, shard: int) -> Candidates:
    """Give the rows of one shard that may be among the first k: those not below the floor."""
    settings = query.settings
    columns = ["init_side", "error", "status"]
    columns += ["image_id"] if settings.init_choice == "image" else []
    columns += ["area"] if (settings.min_area, settings.max_area) != (0, 1) else []
    with query.run.open_table(run_folder.part("masks", shard)) as file:
        rows = file.read(columns, use_threads=False)
        rows = rows.append_column("row", pa.array(np.arange(len(rows))))
        rows = chosen_rows(rows, settings.init_choice, query.side)
        is_defined = pc.equal(rows["status"], "ok").to_numpy()
        error = rows["error"].to_numpy()
        inside = is_defined
        if "area" in columns:
            area = rows["area"].to_numpy()
            inside = is_defined & (area >= settings.min_area) & (area <= settings.max_area)
        picked = rows.filter(pa.array(inside & (error >= floor)))
        if len(picked) and "image_id" not in columns:
            image_id = file.read(["image_id"], use_threads=False)["image_id"]
            picked = picked.append_column("image_id", image_id.take(picked["row"]))
        if len(picked) and settings.max_frame < 1:
            masks = file.read(["mask"], use_threads=False)["mask"].take(picked["row"])
            frame = np.array([_frame_share(mask["bytes"].as_py()) for mask in masks])
            picked = picked.filter(pa.array(frame <= settings.max_frame))
    return Candidates(
        best=_as_offer(picked, shard) if len(picked) else NO_ROWS,
        histogram=np.histogram(error[is_defined], ERROR_BINS)[0],
        num_images=len(rows),
        num_undefined=int((~is_defined).sum()),
        num_outside=int((is_defined & ~inside).sum()),
    )


def _in_groups(offered: Candidates, groups: Groups) -> Candidates:
    best = groups.attach(offered.best)
    num_outside = offered.num_outside + len(offered.best) - len(best)
    return replace(offered, best=best, num_outside=num_outside)


def _as_offer(picked: pa.Table, shard: int) -> pa.Table:
    columns = {name: picked[name] for name in ("image_id", "init_side", "error")}
    columns["shard"] = pa.array(np.full(len(picked), shard, dtype=np.int32))
    return pa.table(columns).select(NO_ROWS.column_names).cast(NO_ROWS.schema)


def _together(parts: Sequence[Candidates]) -> Candidates:
    return Candidates(
        best=pa.concat_tables([part.best for part in parts]),
        histogram=np.sum([part.histogram for part in parts], axis=0),
        num_images=sum(part.num_images for part in parts),
        num_undefined=sum(part.num_undefined for part in parts),
        num_outside=sum(part.num_outside for part in parts),
    )


def _nothing() -> Candidates:
    histogram = np.zeros(len(ERROR_BINS) - 1, np.int64)
    return Candidates(
        best=NO_ROWS, histogram=histogram, num_images=0, num_undefined=0, num_outside=0
    )


def first_rows(table: pa.Table, k: int) -> pa.Table:
    """Keep the first k rows, those of highest error first.

    With groups the first is the best of each group, then the second of each, and so on; of those
    at the same place in their groups the highest error goes first. Rows that come later only move
    others back, so what is not among the first k of a part is not among those of the whole.
    """
    table = table.sort_by(ORDER)
    if "group" not in table.column_names:
        return table.slice(0, k).combine_chunks()
    group = table["group"].combine_chunks().dictionary_encode().indices.to_numpy()
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_group], prepend=-1))
    lengths = np.diff(starts, append=len(group))
    place = np.empty(len(group), np.int64)
    place[by_group] = np.arange(len(group)) - np.repeat(starts, lengths)
    return table.take(np.sort(np.argsort(place, kind="stable")[:k])).combine_chunks()


def _frame_share(png: bytes) -> float:
    """Give the foreground's share of the outermost pixels."""
    mask_HW = schema.decode_mask(png)
    inner = mask_HW[1:-1, 1:-1]
    return float((mask_HW.sum() - inner.sum()) / (mask_HW.size - inner.size))
