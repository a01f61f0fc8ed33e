"""The list of photos beside the page: a row for each, and its pictures, in files of JavaScript.

A page that lies on a disk may load scripts, and no other files. rows-0.js, rows-1.js ... have the
rows, the highest score first; photos/0.js ... have the pictures of one photo each, in the same
order, and are read when it comes into sight: a browser keeps what it has read for long, so that in
another order the pictures of several in one file would cost it many times the memory.
"""

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from iem_batch.exec.step import Content
from iem_batch.processes import num_cpus
from iem_batch.steps.report.gallery import (
    Key,
    Sources,
    load_ious,
    load_masks,
    load_photos,
    load_ranks,
)
from iem_batch.storage.read_ahead import map_ahead

T = TypeVar("T")

FOLDER = "report"
ROWS_PER_FILE = 10_000

SHADE = (10, 10, 16)
"""What lies over the background of a photo, RGB; the page lets the photo show through it."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The list of photos."""

    files: dict[str, Content] = field(default_factory=dict)
    """Name in the run -> bytes."""
    num_row_files: int = 0
    num_without_photo: int = 0


def list_photos(sources: Sources, listed: pa.Table) -> Listed:
    """Draw the pictures of photos and write down what is known of them.

    Holds about 8 kB for each photo.

    Args:
        sources: where pictures come from.
        listed: rows in `gallery.COLUMNS`, with shard and score, in the order of the list.
    """
    by_shard: dict[int, list[int]] = {}
    for row, shard in enumerate(listed["shard"].to_pylist()):
        by_shard.setdefault(shard, []).append(row)
    tables = (listed.take(pa.array(rows)) for rows in by_shard.values())
    draw, threads = partial(_draw_shard, sources), num_cpus()
    drawn = map_ahead(draw, by_shard, tables, num_threads=threads)
    pictures: list[str] = [""] * len(listed)
    iou: dict[Key, float] = {}
    num_without_photo = 0
    for rows, shard_drawn in zip(by_shard.values(), drawn, strict=True):
        for row, picture in zip(rows, shard_drawn.pictures, strict=True):
            pictures[row] = picture
        iou |= shard_drawn.iou
        num_without_photo += shard_drawn.num_without_photo
    facts = _facts(listed, load_ranks(sources.place, listed["image_id"]), iou)
    files: dict[str, Content] = {
        f"{FOLDER}/rows-{number}.js": _call("addRows", _text(part))
        for number, part in enumerate(_parts(facts, ROWS_PER_FILE))
    }
    num_row_files = len(files)
    files |= {
        f"{FOLDER}/photos/{place}.js": _call("addPictures", place, picture)
        for place, picture in enumerate(pictures)
    }
    return Listed(files=files, num_row_files=num_row_files, num_without_photo=num_without_photo)


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _facts(listed: pa.Table, rank: Mapping[str, int], iou: Mapping[Key, float]) -> list[Any]:
    """Make the rows that the page's `addRows` takes."""
    return [
        (
            item["image_id"],
            round(item["score"], 4),
            round(item["error"], 4),
            round(item["area"], 4),
            rank.get(item["image_id"]),
            iou.get((item["image_id"], item["error"])),
            item["status"],
            *([round(item["iou"], 4)] if "iou" in item else []),
        )
        for item in listed.to_pylist()
    ]


def _call(function: str, *arguments: int | str) -> bytes:
    """Write a script that calls a function of the page; JSON in ASCII is JavaScript."""
    return f"{function}({','.join(map(json.dumps, arguments))})\n".encode("ascii")


def _text(value: Any) -> str:
    """Write JSON as text: a browser reads it in less time and memory than as a script's values."""
    return json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Photos of a shard."""

    pictures: list[str]
    """What the page's `addPictures` takes for each, in JSON."""
    iou: dict[Key, float]
    num_without_photo: int


def _draw_shard(sources: Sources, shard: int, rows: pa.Table) -> _Drawn:
    """Draw the pictures of photos of a shard, given their rows."""
    ids: list[str] = rows["image_id"].to_pylist()
    photos, masks = load_photos(sources, shard, ids), load_masks(sources, shard, ids)
    sizes = zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)
    pictures = [
        {
            "photo": _photo(photos[image_id].pixels_HW3) if image_id in photos else None,
            "file": _file_url(photos[image_id].uri) if image_id in photos else None,
            "size": size,
            "masks": {
                label: _shade(by_id[image_id])
                for label, by_id in masks.items()
                if image_id in by_id
            },
        }
        for image_id, size in zip(ids, sizes, strict=True)
    ]
    return _Drawn(
        pictures=list(map(_text, pictures)),
        iou=dict(load_ious(sources.run, shard, ids)),
        num_without_photo=len(ids) - len(photos),
    )


def _photo(pixels_HW3: NDArray[np.uint8]) -> str:
    return data_uri(Image.fromarray(pixels_HW3), "jpeg", quality=80)


def _shade(mask_HW: NDArray[np.bool_]) -> str:
    """Draw what lies over a photo to show a mask: its background in `SHADE`, the rest clear."""
    image = Image.fromarray(mask_HW.astype(np.uint8), "P")
    image.putpalette([*SHADE, 0, 0, 0])
    return data_uri(image, "png", bits=1, transparency=bytes([255, 0]), optimize=True)


def data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    """Encode a picture into a URL that holds it, for a page without files beside it.

    Args:
        image: the picture.
        kind: jpeg or png.
        options: of Pillow, for this kind.
    """
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _file_url(uri: str) -> str | None:
    """Give the URL of a photo that is a file of this machine, for a page opened from its disk."""
    return f"file://{quote(os.fsencode(uri))}" if os.path.isfile(uri) else None
