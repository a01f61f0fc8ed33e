"""Pictures for the report: the sampled images with every mask there is of them.

H, W = pixels of the engine's size.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from iem_batch.data import run_folder, schema
from iem_batch.data.geometry import mask_to_square
from iem_batch.data.load import load_shard
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.settings import DecodeSettings
from iem_batch.data.sources import Source
from iem_batch.stages.truth import Truth

PANEL_PX = 160
"""Larger pictures are made smaller, so that the page stays light at any size of the engine."""

BACKGROUND_SHARE = 0.2
"""How much of its brightness the background keeps in a cut-out."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of a card."""

    label: str
    alt: str
    uri: str
    """A data: URI."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One image of a gallery."""

    image_id: str
    facts: str
    panels: list[Panel]


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where pictures come from; what cannot be opened is None, and its pictures are left out."""

    run: RunFolder
    source: Source | None
    decode: DecodeSettings
    truth: Truth | None


Key = tuple[str, float]
"""image_id and inpainting error: a mask of an image."""


def draw_cards(
    sources: Sources, galleries: Mapping[str, pa.Table], ranks: Mapping[str, int]
) -> dict[str, list[Card]]:
    """Draw all galleries; an image that is in several of them is read once.

    Args:
        sources: where pictures come from.
        galleries: gallery -> its rows of masks/ with the column shard.
        ranks: image_id -> rank in the selection, of those that were selected.

    Returns:
        Gallery -> its cards, in the order of the rows.
    """
    wanted: dict[int, dict[str, int]] = {}
    for rows in galleries.values():
        for item in rows.select(["shard", "image_id", "init_side"]).to_pylist():
            wanted.setdefault(item["shard"], {})[item["image_id"]] = item["init_side"]
    panels: dict[str, list[Panel]] = {}
    ious: dict[Key, float] = {}
    for shard in sorted(wanted):
        panels |= _panels(sources, shard, wanted[shard])
        ious |= _ious(sources.run, shard, wanted[shard])
    return {
        name: [
            Card(
                image_id=item["image_id"],
                facts=_facts(item, ious.get((item["image_id"], item["error"])), ranks),
                panels=panels[item["image_id"]],
            )
            for item in rows.to_pylist()
        ]
        for name, rows in galleries.items()
    }


def _facts(item: dict[str, Any], iou: float | None, ranks: Mapping[str, int]) -> str:
    facts = [f"error {item['error']:.3f}", f"area {100 * item['area']:.0f} %"]
    if iou is not None:
        facts.append(f"IoU {100 * iou:.0f} %")
    if item["status"] != "ok":
        facts.append(f"{item['status']} mask")
    rank = ranks.get(item["image_id"])
    facts.append("not selected" if rank is None else f"rank {rank:,}")
    return " · ".join(facts)


def _panels(
    sources: Sources, shard: int, sides: Mapping[str, int]
) -> Iterator[tuple[str, list[Panel]]]:
    """Draw the pictures of some images of a shard: the photo, and its part inside each mask."""
    photos: dict[str, NDArray[np.uint8]] = {}
    if sources.source is not None:
        loaded = load_shard(sources.run, shard, sources.source, sources.decode, frozenset(sides))
        photos = dict(zip(loaded.image_id, loaded.image_BHW3, strict=True))
    masks = {
        "IEM": _stored_masks(sources.run, "masks", shard, sides),
        "SegNet": _stored_masks(sources.run, "predictions", shard, sides),
        "refined": _stored_masks(sources.run, "refined", shard, sides),
        "truth": _truth_masks(sources, shard, sides),
    }
    for image_id in sides:
        photo = photos.get(image_id)
        panels = []
        if photo is not None:
            panels.append(_panel("photo", f"photo {image_id}", photo))
        for label, by_id in masks.items():
            if image_id in by_id:
                picture = cut_out(photo, by_id[image_id])
                panels.append(_panel(label, f"{label} mask of {image_id}", picture))
        yield image_id, panels


def cut_out(photo_HW3: NDArray[np.uint8] | None, mask_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Show a mask: the photo with its background dimmed, or white on black without a photo.

    A one-pixel line runs along the inside of the mask, so that dark photos show it too.

    Args:
        photo_HW3: uint8 RGB, or None.
        mask_HW: True is foreground.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    if photo_HW3 is None:
        return np.repeat(mask_HW[..., None] * np.uint8(255), 3, axis=2)
    picture_HW3 = np.where(mask_HW[..., None], photo_HW3, photo_HW3 * BACKGROUND_SHARE)
    picture_HW3[_inner_line(mask_HW)] = (255, 64, 160)
    return picture_HW3.astype(np.uint8)


def _inner_line(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the foreground pixels that have a background neighbour, of four, inside the image."""
    padded = np.pad(mask_HW, 1, mode="edge")
    is_inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask_HW & ~is_inside


def _panel(label: str, alt: str, picture_HW3: NDArray[np.uint8]) -> Panel:
    image = Image.fromarray(picture_HW3)
    image.thumbnail((PANEL_PX, PANEL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return Panel(label=label, alt=alt, uri=f"data:image/jpeg;base64,{data}")


def _stored_masks(
    run: RunFolder, step: str, shard: int, sides: Mapping[str, int]
) -> dict[str, NDArray[np.bool_]]:
    """Read masks of a step by image_id; of masks/ those of the chosen first masks."""
    if not run.exists(run_folder.mark(step, shard)):
        return {}
    columns = ["image_id", "mask", *(["init_side"] if step == "masks" else [])]
    table = run.read_table(run_folder.part(step, shard), columns=columns)
    table = table.filter(pc.is_in(table["image_id"], pa.array(sides, pa.string())))
    return {
        item["image_id"]: schema.decode_mask(item["mask"]["bytes"])
        for item in table.to_pylist()
        if step != "masks" or item["init_side"] == sides[item["image_id"]]
    }


def _truth_masks(
    sources: Sources, shard: int, sides: Mapping[str, int]
) -> dict[str, NDArray[np.bool_]]:
    if sources.truth is None:
        return {}
    columns = ["image_id", "width", "height"]
    table = sources.run.read_table(run_folder.part("masks", shard), columns=columns)
    table = table.filter(pc.is_in(table["image_id"], pa.array(sides, pa.string())))
    decode = sources.decode
    masks = {}
    for item in table.to_pylist():
        if sources.truth.has(item["image_id"]):
            mask_HW = sources.truth.read(item["image_id"], item["width"], item["height"])
            masks[item["image_id"]] = mask_to_square(mask_HW, decode.size_px, decode.resize)
    return masks


def _ious(run: RunFolder, shard: int, sides: Mapping[str, int]) -> Iterator[tuple[Key, float]]:
    """Look up what `evaluate` found for IEM's masks, by image_id and their error.

    The error tells a mask from that of another first mask, or of another run of `segment`.
    """
    name = run_folder.part("evaluation/per_image", shard)
    if not run.exists(name):
        return
    table = run.read_table(name, columns=["image_id", "method", "error", "iou"])
    table = table.filter(pc.equal(table["method"], "iem"))
    for item in table.filter(pc.is_in(table["image_id"], pa.array(sides, pa.string()))).to_pylist():
        yield (item["image_id"], item["error"]), item["iou"]
