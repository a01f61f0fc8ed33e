"""One pass over the rows of masks/: what is counted and which images are shown in the report.

Shards are read one by one and only in the columns needed; what is kept does not grow with them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.stages.choose import chosen_rows
from iem_batch.stages.settings import InitChoice, ReportSettings

ERROR_BINS = np.arange(401) / 100
"""Edges of the bins of inpainting errors; both terms of E are in [0, 2]."""

AREA_BINS = np.arange(51) / 50
"""Edges of the bins of mask areas, as shares of the image."""

_COLUMNS = ["image_id", "init_side", "error", "area", "iterations", "status"]


@dataclass(kw_only=True)
class Survey:
    """What the rows of the chosen masks give."""

    num_images: int = 0
    status: Counter[str] = field(default_factory=Counter)
    """Images by the status of their mask."""
    error: NDArray[np.int64]
    """Images by inpainting error, in `ERROR_BINS`; defined masks only."""
    area: NDArray[np.int64]
    """Images by area of the mask, in `AREA_BINS`."""
    iterations: Counter[int] = field(default_factory=Counter)
    """Images by iterations computed."""
    samples: dict[str, pa.Table]
    """Gallery -> its rows of masks/, in the order to show them, with the column shard."""


def survey(
    run: RunFolder,
    shards: Iterable[int],
    side: int,
    init_choice: InitChoice,
    cut: float | None,
    settings: ReportSettings,
) -> Survey:
    """Count the chosen masks of some shards and sample images to show.

    Args:
        run: the run.
        shards: committed shards of masks/.
        side: what `choose.dataset_side` gave.
        init_choice: how one first mask is chosen.
        cut: lowest inpainting error that was selected; None where nothing was.
        settings: how many images a gallery has, and the seed.

    Returns:
        The counts, and the galleries best, worst, random, undefined (empty and full masks) and,
        where there is a cut, inside and outside: the defined masks on either side next to it.
    """
    found = Survey(
        error=np.zeros(len(ERROR_BINS) - 1, np.int64),
        area=np.zeros(len(AREA_BINS) - 1, np.int64),
        samples={},
    )
    for shard in shards:
        table = run.read_table(run_folder.part("masks", shard), columns=_COLUMNS)
        rows = chosen_rows(table, init_choice, side)
        rows = rows.append_column("shard", pa.array(np.full(len(rows), shard, np.int32)))
        _count(found, rows)
        _sample(
            found, rows, cut, settings.num_samples, np.random.default_rng((settings.seed, shard))
        )
    return found


def _count(found: Survey, rows: pa.Table) -> None:
    found.num_images += len(rows)
    found.status.update(rows["status"].to_pylist())
    found.iterations.update(rows["iterations"].to_pylist())
    defined = rows.filter(pc.equal(rows["status"], "ok"))
    found.error += np.histogram(defined["error"].to_numpy(), ERROR_BINS)[0]
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
        "random": (np.ones_like(is_defined), chance, num_samples),
        "undefined": (~is_defined, chance, num_samples),
    }
    if cut is not None:
        half = (num_samples + 1) // 2
        contests["inside"] = (is_defined & (error >= cut), error - cut, half)
        contests["outside"] = (is_defined & (error < cut), cut - error, half)
    for name, (may_enter, key, num_places) in contests.items():
        entrants = rows.append_column("key", pa.array(key)).filter(pa.array(may_enter))
        if name in found.samples:
            entrants = pa.concat_tables([found.samples[name], entrants])
        # Ties go by name, so the sharding does not decide them.
        order = entrants.sort_by([("key", "ascending"), ("image_id", "ascending")])
        found.samples[name] = order.slice(0, num_places).combine_chunks()
