"""Pictures for the report and for `show`: images of a run with every mask there is of them.

H, W = pixels of the engine's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.errors import SourceError
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.geometry import FOREGROUND, mask_to_square
from iem_batch.images.png import decode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.marks import read_summary
from iem_batch.sources import Source
from iem_batch.steps.evaluate.evaluation import PER_IMAGE
from iem_batch.steps.registry import MASKS, STEPS
from iem_batch.steps.report.other_run import OtherRun
from iem_batch.steps.report.panels import TRUTH, Panel, draw_panels
from iem_batch.steps.topk.selection import TABLE


@dataclass(frozen=True, kw_only=True)
class Card:
    """One image with all its pictures."""

    image_id: str
    status: str
    """Of the mask: ok, empty or full."""
    error: float
    area: float
    iou: float | None
    """Of IEM's mask, as labelled, where `evaluate` has measured it."""
    rank: int | None
    """In the selection, where it was selected."""
    panels: list[Panel]

    @property
    def facts(self) -> str:
        """What is known of the mask, in a line."""
        facts = [f"error {self.error:.3f}", f"area {100 * self.area:.0f} %"]
        if self.iou is not None:
            facts.append(f"IoU {100 * self.iou:.0f} %")
        if self.status != "ok":
            facts.append(f"{self.status} mask")
        facts.append("not selected" if self.rank is None else f"rank {self.rank:,}")
        return " · ".join(facts)


class Photo(NamedTuple):
    """A photo as the engine saw it."""

    pixels_HW3: NDArray[np.uint8]
    uri: str
    """Where it lies."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where pictures come from; what cannot be opened is None, and its pictures are left out."""

    run: RunFolder
    place: RunFolder
    """Its last round."""
    source: Source | None
    decode: DecodeSettings
    iem: IEMSettings
    truth: MaskFiles | None
    other: OtherRun | None = None
    """Whose masks are drawn beside the run's own."""


COLUMNS = ["image_id", "width", "height", "error", "area", "status"]
"""What is read of a table of masks to choose images and say something of them."""

Key = tuple[str, float]
"""image_id and inpainting error: a mask of an image."""


def draw_cards(sources: Sources, rows: pa.Table) -> list[Card]:
    """Draw some images.

    Args:
        sources: where pictures come from.
        rows: theirs of a table of masks in the columns `COLUMNS`, and the column shard.

    Returns:
        The cards, in the order of the rows.
    """
    wanted: dict[int, list[str]] = {}
    for item in rows.select(["shard", "image_id"]).to_pylist():
        wanted.setdefault(item["shard"], []).append(item["image_id"])
    ranks = load_ranks(sources.place, rows["image_id"])
    panels: dict[str, list[Panel]] = {}
    ious: dict[Key, float] = {}
    for shard in sorted(wanted):
        panels |= _panels(sources, shard, wanted[shard])
        ious |= load_ious(sources.run, shard, wanted[shard])
    return [
        Card(
            image_id=item["image_id"],
            status=item["status"],
            error=item["error"],
            area=item["area"],
            iou=ious.get((item["image_id"], item["error"])),
            rank=ranks.get(item["image_id"]),
            panels=panels[item["image_id"]],
        )
        for item in rows.to_pylist()
    ]


def _panels(sources: Sources, shard: int, ids: Sequence[str]) -> Iterator[tuple[str, list[Panel]]]:
    photos, by_label = load_photos(sources, shard, ids), load_masks(sources, shard, ids)
    votes = _stored_pictures(sources.run, "fuse", "vote", shard, ids)
    for image_id in ids:
        masks = {label: by_id[image_id] for label, by_id in by_label.items() if image_id in by_id}
        photo_HW3 = photos[image_id].pixels_HW3 if image_id in photos else None
        vote_HW = votes.get(image_id)
        yield image_id, list(draw_panels(image_id, photo_HW3, masks, sources.iem, vote_HW))


def load_photos(sources: Sources, shard: int, ids: Sequence[str]) -> dict[str, Photo]:
    """Read photos by image_id; none where the source has gone since the run was planned."""
    if sources.source is None:
        return {}
    try:
        loaded = load_shard(sources.run, shard, sources.source, sources.decode, frozenset(ids))
    except SourceError:
        return {}
    photos = map(Photo, loaded.image_BHW3, loaded.uri)
    return dict(zip(loaded.image_id, photos, strict=True))


def load_masks(
    sources: Sources, shard: int, ids: Sequence[str]
) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Read the masks there are of some images: what they are called -> image_id -> mask."""
    by_label = {TRUTH: _truth_masks(sources, shard, ids)}
    for name in MASKS[1:]:  # segment has several for each image
        place = sources.place if STEPS[name].per_round else sources.run
        stored = _stored_pictures(place, name, "mask", shard, ids)
        by_label[STEPS[name].masks] = {image_id: grey > 0 for image_id, grey in stored.items()}
    if sources.other is not None:
        by_label[sources.other.label] = sources.other.masks(ids)
    return by_label


def _stored_pictures(
    place: RunFolder, step: str, column: str, shard: int, ids: Sequence[str]
) -> dict[str, NDArray[np.uint8]]:
    """Read masks or votes of a step by image_id."""
    if not place.exists(layout.mark(step, shard)):
        return {}
    table = place.read_table(layout.part(step, shard), columns=["image_id", column])
    table = table.filter(pc.is_in(table["image_id"], pa.array(ids, pa.string())))
    return {item["image_id"]: decode_pixels(item[column]["bytes"]) for item in table.to_pylist()}


def _truth_masks(sources: Sources, shard: int, ids: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    truth, decode = sources.truth, sources.decode
    if truth is None:
        return {}
    columns = ["image_id", "width", "height"]
    table = sources.run.read_table(layout.part("fuse", shard), columns=columns)
    table = table.filter(pc.is_in(table["image_id"], pa.array(ids, pa.string())))
    sizes = {item["image_id"]: (item["width"], item["height"]) for item in table.to_pylist()}
    return {
        image_id: mask_to_square(truth.read(image_id, *size) == FOREGROUND, decode)
        for image_id, size in sizes.items()
        if truth.has(image_id)
    }


def load_ious(run: RunFolder, shard: int, ids: Sequence[str]) -> Iterator[tuple[Key, float]]:
    """Look up what `evaluate` found for IEM's masks, by image_id and their error.

    The error tells a mask from that of another first mask, or of another run of `segment`.
    """
    name = layout.part(PER_IMAGE, shard)
    if not run.exists(name):
        return
    table = run.read_table(name, columns=["image_id", "method", "error", "iou"])
    table = table.filter(pc.equal(table["method"], "fuse"))
    for item in table.filter(pc.is_in(table["image_id"], pa.array(ids, pa.string()))).to_pylist():
        yield (item["image_id"], item["error"]), item["iou"]


def load_ranks(place: RunFolder, image_id: pa.ChunkedArray) -> dict[str, int]:
    """Look up which of some images were selected."""
    if read_summary(place, "topk") is None:
        return {}
    table = place.read_table(TABLE, columns=["image_id", "rank"])
    table = table.filter(pc.is_in(table["image_id"], image_id))
    return dict(zip(table["image_id"].to_pylist(), table["rank"].to_pylist(), strict=True))
