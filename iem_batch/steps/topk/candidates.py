"""The first k images of some shards, by score: inpainting error, or that times the agreement.

The images are put in an order that does not depend on the sharding, and the first k are taken. As
the first k of a part of them hold all of the first k of the whole that are in this part, shards are
read in any order and by any number of workers, and nobody holds more than k rows and some shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iem_batch.foreground import frame_share
from iem_batch.images.png import decode_mask
from iem_batch.run import layout, schema
from iem_batch.steps.topk.groups import Groups, open_groups
from iem_batch.steps.topk.labels import Labels
from iem_batch.steps.topk.lists import Lists, open_lists
from iem_batch.steps.topk.scores import SCORES
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.storage.read_ahead import REQUESTS, map_ahead

ERROR_BINS = np.arange(401) / 100
"""Edges of the bins of inpainting errors and scores; both terms of E are in [0, 2]."""

FIRST_SHARDS, SHARDS_PER_PRUNING = 8, 128
"""Shards whose candidates are held before all but the best are dropped: few at first, so that there
is soon a lower bound."""

ORDER = [("score", "descending"), ("image_id", "ascending")]
NO_ROWS = schema.SELECTION.empty_table().drop_columns("rank")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of the shards; it is sent to every worker."""

    labels: Labels
    settings: TopkSettings
    k: int
    """Rows wanted, computed from the settings."""
    by: str
    """The score that rows are ranked by, a name of `SCORES`."""
    ids_at_once: bool = False
    """Whether ids are read together with the errors, one request instead of two: worth it where
    nearly every shard has a row among the first k, or where groups are formed by them."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What some shards have to offer."""

    best: pa.Table
    """At most k rows: those of `NO_ROWS`, and group where groups are asked for."""
    histogram: NDArray[np.int64]
    """Images by score, in `ERROR_BINS`; defined masks only."""
    num_images: int
    num_undefined: int
    num_outside: int
    """Images left out for the area of their mask, or because they are in no group."""
    num_unlisted: int
    """Images left out by the lists of the settings."""
    num_listed: int
    """Entries of these lists that are images of the shards."""


def candidates(query: Query, shards: Sequence[int], num_threads: int) -> Candidates:
    """Find the first k rows of some shards.

    The mask column, most of the bytes, is read only if `max_frame` asks for it, and then of those
    shards alone that have a row good enough.

    Args:
        query: what is asked.
        shards: those to look through.
        num_threads: processors there are for it.
    """
    groups, lists = open_groups(query.settings), open_lists(query.settings)
    found: list[Candidates] = []
    floor = -np.inf
    todo, size = iter(shards), FIRST_SHARDS
    if not query.labels.place.is_local:  # from a disk more cost a fifth of the processor time
        num_threads = max(num_threads, REQUESTS)
    while batch := list(islice(todo, size)):
        size = min(2 * size, SHARDS_PER_PRUNING)
        offers = list(
            map_ahead(partial(_offer, query, lists, floor), batch, num_threads=num_threads)
        )
        found = [merge(query.k, [*found, _gathered(offers, groups)])]
        best = found[0].best
        if groups is None and len(best) == query.k > 0:
            # What is below the k-th best so far is not looked at further, its id not even read.
            floor = best["score"][-1].as_py()
    return found[0]


def merge(k: int, parts: Sequence[Candidates]) -> Candidates:
    """Put the candidates of different shards together and keep the first k."""
    return Candidates(
        best=first_rows(pa.concat_tables([part.best for part in parts]), k),
        histogram=np.sum([part.histogram for part in parts], axis=0),
        num_images=sum(part.num_images for part in parts),
        num_undefined=sum(part.num_undefined for part in parts),
        num_outside=sum(part.num_outside for part in parts),
        num_unlisted=sum(part.num_unlisted for part in parts),
        num_listed=sum(part.num_listed for part in parts),
    )


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """The rows of one shard that may be among the first k, and what the others were. N = rows."""

    shard: int
    image_id: pa.ChunkedArray
    error_N: NDArray[np.float64]
    score_N: NDArray[np.float64]
    histogram: NDArray[np.int64]
    num_images: int
    num_undefined: int
    num_outside: int
    num_unlisted: int
    num_listed: int


def _offer(query: Query, lists: Lists, floor: float, shard: int) -> _Offer:
    """Look through one shard for rows whose score is not below the floor."""
    settings, labels, by = query.settings, query.labels, SCORES[query.by]
    with labels.place.open_table(layout.part(labels.step, shard)) as file:
        ids_at_once = query.ids_at_once or bool(lists.ids)
        columns = {"error", *by.columns, *["image_id"] * ids_at_once}
        rows = file.read(sorted(columns), use_threads=False)
        error = rows["error"].to_numpy()
        score = by.compute({name: rows[name].to_numpy() for name in by.columns})
        is_defined = _is_defined(file, error)
        inside, num_listed = is_defined, 0
        if lists.ids:
            is_wanted, num_listed = lists.look_up(rows["image_id"])
            inside = is_defined & is_wanted
        num_unlisted = int((is_defined & ~inside).sum())
        if (settings.min_area, settings.max_area) != (0, 1):
            area = file.read(["area"], use_threads=False)["area"].to_numpy()
            inside = inside & (area >= settings.min_area) & (area <= settings.max_area)
        picked = np.flatnonzero(inside & (score >= floor))
        if len(picked) and settings.max_frame < 1:
            masks = file.read(["mask"], use_threads=False)["mask"].take(pa.array(picked))
            decoded = [decode_mask(mask["bytes"].as_py()) for mask in masks]
            frame = frame_share(np.stack(decoded))
            picked = picked[frame <= settings.max_frame]
        image_id = NO_ROWS["image_id"]
        if len(picked):
            ids = rows if ids_at_once else file.read(["image_id"], use_threads=False)
            image_id = ids["image_id"].take(pa.array(picked))
    return _Offer(
        shard=shard,
        image_id=image_id,
        error_N=error[picked],
        score_N=score[picked],
        histogram=error_histogram(score[is_defined]),
        num_images=len(rows),
        num_undefined=int((~is_defined).sum()),
        num_outside=int((is_defined & ~inside).sum()) - num_unlisted,
        num_unlisted=num_unlisted,
        num_listed=num_listed,
    )


def error_histogram(error: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count inpainting errors or scores in `ERROR_BINS`."""
    # The bins are of one width, and np.histogram takes three times as long to find that out.
    place = np.minimum(error * 100, len(ERROR_BINS) - 2).astype(np.int64)
    return np.bincount(place, minlength=len(ERROR_BINS) - 1)


def _is_defined(file: pq.ParquetFile, error: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which masks have two sides; the error of the others is 0 (`IEMResult`)."""
    is_defined = np.ones(len(error), np.bool_)
    zero = np.flatnonzero(~(error > 0))
    if len(zero):
        status = file.read(["status"], use_threads=False)["status"].take(pa.array(zero))
        is_defined[zero] = pc.equal(status, "ok").to_numpy()
    return is_defined


def _gathered(offers: Sequence[_Offer], groups: Groups | None) -> Candidates:
    """Make candidates of the offers of some shards, without dropping any but those in no group."""
    counts = [len(offer.error_N) for offer in offers]
    columns = {
        "image_id": pa.chunked_array(
            [chunk for offer in offers for chunk in offer.image_id.chunks], pa.string()
        ),
        "shard": np.repeat(np.array([offer.shard for offer in offers], np.int32), counts),
        "error": np.concatenate([offer.error_N for offer in offers]),
        "score": np.concatenate([offer.score_N for offer in offers]),
    }
    rows = pa.table(columns, schema=NO_ROWS.schema)
    best = rows if groups is None else groups.attach(rows)
    return Candidates(
        best=best,
        histogram=np.sum([offer.histogram for offer in offers], axis=0),
        num_images=sum(offer.num_images for offer in offers),
        num_undefined=sum(offer.num_undefined for offer in offers),
        num_outside=sum(offer.num_outside for offer in offers) + len(rows) - len(best),
        num_unlisted=sum(offer.num_unlisted for offer in offers),
        num_listed=sum(offer.num_listed for offer in offers),
    )


def first_rows(table: pa.Table, k: int) -> pa.Table:
    """Keep the first k rows, those of highest score first.

    With groups the first is the best of each group, then the second of each, and so on; of those
    at the same place in their groups the highest score goes first. Rows that come later only move
    others back, so what is not among the first k of a part is not among those of the whole.
    """
    if "group" not in table.column_names:
        if 0 < k < len(table):  # sorting takes longer by far
            score = table["score"].to_numpy()
            table = table.filter(pa.array(score >= np.partition(score, -k)[-k]))
        return table.sort_by(ORDER).slice(0, k).combine_chunks()
    table = table.sort_by(ORDER)
    group = table["group"].combine_chunks().dictionary_encode().indices.to_numpy()
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[by_group], prepend=-1))
    lengths = np.diff(starts, append=len(group))
    place = np.empty(len(group), np.int64)
    place[by_group] = np.arange(len(group)) - np.repeat(starts, lengths)
    return table.take(np.sort(np.argsort(place, kind="stable")[:k])).combine_chunks()
