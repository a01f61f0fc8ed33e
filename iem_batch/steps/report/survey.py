"""One pass over the masks of a run: what is counted and which images the report shows.

Shards are read several at a time and only in the columns needed; what is kept does not grow with
their number.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.errors import RunMismatchError
from iem_batch.run import layout
from iem_batch.steps.report.gallery import COLUMNS
from iem_batch.steps.report.other_run import OtherRun
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.topk.candidates import error_histogram
from iem_batch.steps.topk.labels import Labels
from iem_batch.steps.topk.scores import Score
from iem_batch.storage.read_ahead import map_ahead


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the masks give."""

    num_images: int
    """Beside another run those that both have."""
    status: Counter[str]
    """Images by the status of their mask."""
    histogram: NDArray[np.int64]
    """Images by score, in `topk.candidates.ERROR_BINS`; defined masks only."""
    listed: pa.Table
    """Rows in `gallery.COLUMNS`, with shard and score, the highest score first; empty and full
    masks, whose score is undefined, come last. Beside another run they have the column iou, the
    agreement of both masks, and the lowest comes first."""
    sample: pa.Table
    """The same of images drawn at random."""
    iou: NDArray[np.float64]
    """Agreement of the masks of both runs, image by image, in [0, 1]; empty without another run."""


class _Contest:
    """Keeps the rows of smallest key; ties go by name, so the sharding does not decide them."""

    def __init__(self, num_places: int) -> None:
        self._num_places = num_places
        self._rows: list[pa.Table] = []
        self._limit = np.inf

    def enter(self, rows: pa.Table, key: NDArray[np.float64]) -> None:
        """Let rows compete."""
        is_entrant = key <= self._limit
        if is_entrant.any():
            self._rows.append(rows.append_column("key", pa.array(key)).filter(pa.array(is_entrant)))
        if sum(map(len, self._rows)) > 2 * self._num_places:
            self._rows = [self._sorted()]
            self._limit = self._rows[0]["key"][-1].as_py()

    def winners(self) -> pa.Table:
        """Give the rows that are left, in order."""
        return self._sorted().drop_columns("key")

    def _sorted(self) -> pa.Table:
        order = [("key", "ascending"), ("image_id", "ascending")]
        rows = pa.concat_tables(self._rows).sort_by(order)
        return rows.slice(0, self._num_places).combine_chunks()


def survey(
    labels: Labels,
    shards: Iterable[int],
    by: Score,
    settings: ReportSettings,
    other: OtherRun | None = None,
) -> Survey:
    """Count the masks of some shards and choose images to show.

    Args:
        labels: the masks, those that images are selected by.
        shards: committed shards of them, at least one.
        by: what they are ranked by.
        settings: how many are shown, and the seed.
        other: a run to show beside it; then only the images count that both have.

    Raises:
        RunMismatchError: they have no image in common.
    """
    num_images, status, histogram = 0, Counter[str](), error_histogram(np.empty(0))
    iou: list[NDArray[np.float64]] = [np.empty(0)]
    listed, sample = _Contest(settings.num_photos), _Contest(settings.num_samples)
    for shard, rows in map_ahead(partial(_rows, labels, by, other), shards):
        num_images += len(rows)
        for item in rows["status"].value_counts().to_pylist():
            status[item["values"]] += item["counts"]
        score = rows["score"].to_numpy()
        is_defined = pc.equal(rows["status"], "ok").to_numpy()
        histogram += error_histogram(score[is_defined])
        key = np.where(is_defined, -score, np.inf)
        if other is not None:
            key = rows["iou"].to_numpy()
            iou.append(key)
        listed.enter(rows, key)
        sample.enter(rows, np.random.default_rng((settings.seed, shard)).random(len(rows)))
    if not num_images:
        raise RunMismatchError("the two runs have no image in common; image_id must be the same")
    return Survey(
        num_images=num_images,
        status=status,
        histogram=histogram,
        listed=listed.winners(),
        sample=sample.winners(),
        iou=np.concatenate(iou),
    )


def _rows(labels: Labels, by: Score, other: OtherRun | None, shard: int) -> tuple[int, pa.Table]:
    columns = list(dict.fromkeys([*COLUMNS, *by.columns]))
    rows = labels.place.read_table(layout.part(labels.step, shard), columns)
    score = by.compute({name: rows[name].to_numpy() for name in by.columns})
    rows = rows.select(COLUMNS).append_column("score", pa.array(score))
    rows = rows.append_column("shard", pa.array(np.full(len(rows), shard, np.int32)))
    return shard, rows if other is None else other.beside(shard, rows)
