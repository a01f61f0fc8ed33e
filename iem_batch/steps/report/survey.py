"""One pass over the rows of fuse/: what is counted and which images are shown in the report.

Shards are read several at a time and only in the columns needed; what is kept does not grow with
their number.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.steps.report.gallery import COLUMNS
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.topk.candidates import ERROR_BINS as ERROR_BINS
from iem_batch.storage.read_ahead import map_ahead

AREA_BINS = np.arange(51) / 50
"""Edges of the bins of mask areas, as shares of the image."""

NUM_TYPICAL = 2048
"""Masks drawn at random among which the median is looked for: exact up to so many, and else off by
a percentile or two."""


@dataclass(kw_only=True)
class Survey:
    """What the rows of fuse/ give."""

    num_images: int = 0
    status: Counter[str] = field(default_factory=Counter)
    """Images by the status of their mask."""
    error: NDArray[np.int64]
    """Images by inpainting error, in `ERROR_BINS`; defined masks only."""
    area: NDArray[np.int64]
    """Images by area of the mask, in `AREA_BINS`."""
    samples: dict[str, pa.Table]
    """Gallery -> its rows of fuse/, in the order to show them, with the column shard."""
    limits: dict[str, float] = field(default_factory=dict)
    """Gallery that is full -> the key of its last place."""


def survey(
    run: RunFolder,
    shards: Iterable[int],
    cut: float | None,
    settings: ReportSettings,
) -> Survey:
    """Count the masks of some shards and sample images to show.

    Args:
        run: the run.
        shards: committed shards of fuse/.
        cut: lowest inpainting error that was selected; None where nothing was.
        settings: how many images a gallery has, and the seed.

    Returns:
        The counts, and the galleries best, worst, median, random, undefined (empty and full masks)
        and, where there is a cut, inside and outside: the defined masks on either side next to it.
    """
    found = Survey(
        error=np.zeros(len(ERROR_BINS) - 1, np.int64),
        area=np.zeros(len(AREA_BINS) - 1, np.int64),
        samples={},
    )
    for shard, rows in map_ahead(partial(_rows, run), shards):
        _count(found, rows)
        _sample(
            found, rows, cut, settings.num_samples, np.random.default_rng((settings.seed, shard))
        )
    _around_median(found, settings.num_samples)
    return found


def _rows(run: RunFolder, shard: int) -> tuple[int, pa.Table]:
    rows = run.read_table(layout.part("fuse", shard), columns=COLUMNS)
    return shard, rows.append_column("shard", pa.array(np.full(len(rows), shard, np.int32)))


def _count(found: Survey, rows: pa.Table) -> None:
    found.num_images += len(rows)
    for item in rows["status"].value_counts().to_pylist():
        found.status[item["values"]] += item["counts"]
    is_defined = pc.equal(rows["status"], "ok").to_numpy()
    found.error += np.histogram(rows["error"].to_numpy()[is_defined], ERROR_BINS)[0]
    found.area += np.histogram(rows["area"].to_numpy(), AREA_BINS)[0]


def _sample(
    found: Survey, rows: pa.Table, cut: float | None, num_samples: int, rng: np.random.Generator
) -> None:
    """Let the rows of a shard compete for the places of each gallery; small keys win."""
    error = rows["error"].to_numpy()
    is_defined = pc.equal(rows["status"], "ok").to_numpy()
    chance = rng.random(len(rows))
    contests = {
        "best": (is_defined, -error, num_samples),
        "worst": (is_defined, error, num_samples),
        "median": (is_defined, chance, NUM_TYPICAL),
        "random": (np.ones_like(is_defined), chance, num_samples),
        "undefined": (~is_defined, chance, num_samples),
    }
    if cut is not None:
        half = (num_samples + 1) // 2
        contests["inside"] = (is_defined & (error >= cut), error - cut, half)
        contests["outside"] = (is_defined & (error < cut), cut - error, half)
    for name, (may_enter, key, num_places) in contests.items():
        is_entrant = may_enter & (key <= found.limits.get(name, np.inf))
        if name in found.samples and not is_entrant.any():
            continue  # nearly every shard of a large run ends here
        entrants = rows.append_column("key", pa.array(key)).filter(pa.array(is_entrant))
        if name in found.samples:
            entrants = pa.concat_tables([found.samples[name], entrants])
        # Ties go by name, so the sharding does not decide them.
        order = entrants.sort_by([("key", "ascending"), ("image_id", "ascending")])
        found.samples[name] = order.slice(0, num_places).combine_chunks()
        if len(order) >= num_places:
            found.limits[name] = found.samples[name]["key"][-1].as_py()


def _around_median(found: Survey, num_samples: int) -> None:
    """Keep of the masks drawn at random those in the middle, by error."""
    if "median" in found.samples:
        drawn = found.samples["median"].sort_by(
            [("error", "descending"), ("image_id", "ascending")]
        )
        start = max(0, (len(drawn) - num_samples) // 2)
        found.samples["median"] = drawn.slice(start, num_samples)
