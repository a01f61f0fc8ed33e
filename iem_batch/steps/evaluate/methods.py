"""The masks to score: those a run has stored, and baselines drawn on the spot.

B = images of a shard that have a truth, S = pixels of a side of the engine's square.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.iem.masks import centred_squares
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.sources import Source
from iem_batch.steps.evaluate.baselines import Segment
from iem_batch.steps.registry import MASKS

EARLIER_ROUND = "predict_round"
"""SegNet of a round before the last, followed by its number."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The masks of one method for the B images."""

    method: str
    mask_of: Callable[[int], NDArray[np.bool_] | None]
    """Draw mask_SS of one of the B images, only when it is asked for; None where there is none."""
    error: list[float | None]
    """Inpainting errors of the B masks; None for baselines."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Where the images of a run can be read again."""

    source: Source
    decode: DecodeSettings


def read_masks(run: RunFolder, shard: int) -> pa.Table:
    """Read the columns of a shard of segment/ that scoring needs."""
    return run.read_table(
        layout.part("segment", shard),
        columns=["image_id", "width", "height", "init_side", "error", "mask"],
    )


def stored_masks(
    places: Sequence[RunFolder], shard: int, rows: pa.Table, known: pa.Table
) -> Iterator[Masks]:
    """Give the masks of a shard that are stored, method by method, IEM first.

    Args:
        places: the run and its later rounds.
        shard: the shard.
        rows: all its rows of segment/.
        known: of these the B that have a truth, one for each image.
    """
    image_id = known["image_id"].combine_chunks()
    yield _pick("segment", known, image_id)
    sides = pc.unique(rows["init_side"]).to_pylist()
    if len(sides) > 1:
        for side in sorted(sides):
            one = rows.filter(pc.equal(rows["init_side"], side))
            yield _pick(f"segment_{side}", one, image_id)
    later = [
        (f"{EARLIER_ROUND}_{number}", place, "predict")
        for number, place in enumerate(places[:-1], 1)
    ]
    later += [(step, places[-1], step) for step in MASKS if step != "segment"]
    for method, place, step in later:
        if place.exists(layout.mark(step, shard)):
            columns = ["image_id", "error", "mask"]
            yield _pick(method, place.read_table(layout.part(step, shard), columns), image_id)


def cheap_baselines(rows: pa.Table, known: pa.Table, size_px: int) -> Iterator[Masks]:
    """Give the baselines that need no pixels: the first masks themselves, and everything.

    Args:
        rows: all rows of a shard of segment/.
        known: of these the B that have a truth, one for each image.
        size_px: side of the engine's square.
    """
    sides = sorted(pc.unique(rows["init_side"]).to_pylist())
    square_of = dict(zip(sides, centred_squares(size_px, size_px, sides), strict=True))
    everything_SS = np.ones((size_px, size_px), dtype=np.bool_)
    chosen = known["init_side"].to_pylist()
    drawn = {"centre_square": [square_of[side] for side in chosen]}
    if len(sides) > 1:
        drawn |= {f"centre_square_{side}": [square_of[side]] * len(chosen) for side in sides}
    drawn["all_foreground"] = [everything_SS] * len(chosen)
    nothing: list[float | None] = [None] * len(chosen)
    for method, mask_BSS in drawn.items():
        yield Masks(method=method, mask_of=mask_BSS.__getitem__, error=nothing)


def pixel_baselines(
    run: RunFolder, shard: int, known: pa.Table, pixels: Pixels, methods: Mapping[str, Segment]
) -> Iterator[Masks]:
    """Give the baselines asked for, which read the images again; one that is gone has no mask.

    Args:
        run: the run.
        shard: the shard.
        known: rows of the B images.
        pixels: where the images are.
        methods: name in an evaluation -> what segments an image.
    """
    image_id = known["image_id"].to_pylist()
    loaded = load_shard(run, shard, pixels.source, pixels.decode, frozenset(image_id))
    image_of = dict(zip(loaded.image_id, loaded.image_BHW3, strict=True))

    def draw(draw_one: Segment, b: int) -> NDArray[np.bool_] | None:
        image_SS3 = image_of.get(image_id[b])
        return None if image_SS3 is None else draw_one(image_SS3)

    nothing: list[float | None] = [None] * len(known)
    for method, draw_one in methods.items():
        yield Masks(method=method, mask_of=partial(draw, draw_one), error=nothing)


def _pick(method: str, table: pa.Table, image_id: pa.Array) -> Masks:
    """Find the masks of some images in a table with one row for an image."""
    rows = pc.index_in(image_id, value_set=table["image_id"].combine_chunks()).to_pylist()
    mask, error = table["mask"], table["error"]

    def mask_of(b: int) -> NDArray[np.bool_] | None:
        return None if rows[b] is None else schema.decode_mask(mask[rows[b]].as_py()["bytes"])

    return Masks(
        method=method,
        mask_of=mask_of,
        error=[None if row is None else error[row].as_py() for row in rows],
    )
