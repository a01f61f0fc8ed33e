"""The masks to score: those a run has stored, and baselines drawn on the spot.

B = images of a shard that have a truth, S = pixels of a side of the engine's square.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.images.png import decode_mask
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.marks import require_summary
from iem_batch.sources import Source
from iem_batch.steps.evaluate.baselines import BASELINES, Draw
from iem_batch.steps.registry import MASKS, STEPS
from iem_batch.steps.train.pair_files import find_pairs

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


def images_with_masks(places: Sequence[RunFolder], shard: int) -> pa.Table:
    """List the images of a shard that have a mask: a fused one, or one of the last network.

    Returns:
        image_id, width and height, those with fused masks first.
    """
    columns = ["image_id", "width", "height"]
    tables = [places[0].read_table(layout.part("fuse", shard), columns)]
    if places[-1].exists(layout.mark("predict", shard)):
        predicted = places[-1].read_table(layout.part("predict", shard), columns)
        fused = tables[0]["image_id"].combine_chunks()
        tables.append(predicted.filter(pc.invert(pc.is_in(predicted["image_id"], fused))))
    return pa.concat_tables(table.replace_schema_metadata(None) for table in tables)


def learned_images(place: RunFolder) -> pa.Array:
    """Give the ids of the images whose labels the network of a round has learned.

    Raises:
        StepMissingError: there is no corpus.
    """
    files = find_pairs(place, require_summary(place, "export")).names
    ids = [place.read_table(name, ["image_id"])["image_id"] for name in files]
    return pa.chunked_array([chunk for each in ids for chunk in each.chunks]).combine_chunks()


def stored_masks(
    places: Sequence[RunFolder], shard: int, known: pa.Table, side: int | None
) -> Iterator[Masks]:
    """Give the masks of a shard that are stored, method by method.

    Args:
        places: the run and its later rounds.
        shard: the shard.
        known: of `images_with_masks`, the B images that are scored.
        side: the first mask whose masks of segment/ are scored; None scores none.
    """
    image_id = known["image_id"].combine_chunks()
    if side is not None:
        columns = ["image_id", "error", "mask", "init_side"]
        rows = places[0].read_table(layout.part("segment", shard), columns)
        yield _pick("segment", rows.filter(pc.equal(rows["init_side"], side)), image_id)
    later = [("fuse", places[0], "fuse")]
    later += [
        (f"{EARLIER_ROUND}_{number}", place, "predict")
        for number, place in enumerate(places[:-1], 1)
    ]
    later += [(step, places[-1], step) for step in MASKS if STEPS[step].per_round]
    for method, place, step in later:
        if place.exists(layout.mark(step, shard)):
            columns = ["image_id", "error", "mask"]
            yield _pick(method, place.read_table(layout.part(step, shard), columns), image_id)


def baselines(
    run: RunFolder, shard: int, known: pa.Table, source: Source, decode: DecodeSettings
) -> Iterator[Masks]:
    """Give the baselines, which read the images again; one that is gone has no mask.

    Args:
        run: the run.
        shard: the shard.
        known: as for `stored_masks`.
        source: where the images are.
        decode: how they become pixels.
    """
    image_id = known["image_id"].to_pylist()
    loaded = load_shard(run, shard, source, decode, frozenset(image_id))
    image_of = dict(zip(loaded.image_id, loaded.image_BHW3, strict=True))

    def draw(draw_one: Draw, b: int) -> NDArray[np.bool_] | None:
        image_SS3 = image_of.get(image_id[b])
        return None if image_SS3 is None else draw_one(image_SS3)

    nothing: list[float | None] = [None] * len(known)
    for method, baseline in BASELINES.items():
        yield Masks(method=method, mask_of=partial(draw, baseline.draw), error=nothing)


def _pick(method: str, table: pa.Table, image_id: pa.Array) -> Masks:
    """Find the masks of some images in a table with one row for an image."""
    rows = pc.index_in(image_id, value_set=table["image_id"].combine_chunks()).to_pylist()
    mask, error = table["mask"], table["error"]

    def mask_of(b: int) -> NDArray[np.bool_] | None:
        return None if rows[b] is None else decode_mask(mask[rows[b]].as_py()["bytes"])

    return Masks(
        method=method,
        mask_of=mask_of,
        error=[None if row is None else error[row].as_py() for row in rows],
    )
