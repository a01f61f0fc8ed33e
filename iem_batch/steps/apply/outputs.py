"""What a shard of `apply` writes: tables of masks, or masks as files and tables of their names.

B = images, S = side of the network's square.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.images.settings import Fit
from iem_batch.run import schema
from iem_batch.run.file_names import safe_stem
from iem_batch.run.load import LoadedShard
from iem_batch.sources.formats import is_image_name
from iem_batch.steps.refine.step import cut_out
from iem_batch.steps.upscale.upsampling import round_corners
from iem_batch.storage.read_ahead import map_ahead

MASKS, PROBABILITIES = "masks", "probabilities"
"""Folders of the files."""


@dataclass(frozen=True, kw_only=True)
class MaskMaker:
    """From a network's probabilities to masks."""

    threshold: float
    refine: bool
    fit: Fit

    def mask(
        self, image_SS3: NDArray[np.uint8], probability_SS: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Make the mask at the network's size; True is foreground."""
        if self.refine:
            return cut_out(image_SS3, grey(probability_SS))
        return probability_SS > self.threshold

    def photo_png(self, mask_SS: NDArray[np.bool_], width: int, height: int) -> bytes:
        """Encode the mask at the size of its photo, as 1-bit PNG."""
        return encode_mask(round_corners(mask_SS, width, height, self.fit))

    def file(
        self,
        image_SS3: NDArray[np.uint8],
        probability_SS: NDArray[np.float32],
        width: int,
        height: int,
    ) -> bytes:
        """Make the file of a photo's mask."""
        return self.photo_png(self.mask(image_SS3, probability_SS), width, height)


def grey(probability_SS: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round probabilities to 8 bits, 255 = certainly foreground."""
    return np.rint(255 * probability_SS).astype(np.uint8)


def grey_png(probability_SS: NDArray[np.float32]) -> bytes:
    """Encode probabilities as an 8-bit PNG."""
    return encode_pixels(grey(probability_SS))


def mask_table(
    maker: MaskMaker,
    images: LoadedShard,
    probability_BSS: NDArray[np.float32],
    keeps_probability: bool,
    kept: pa.Schema,
    num_threads: int,
) -> pa.Table:
    """Make the table of a shard, of schema APPLIED and the columns kept of the source."""

    def row(
        image_SS3: NDArray[np.uint8], probability_SS: NDArray[np.float32], width: int, height: int
    ) -> dict[str, Any]:
        mask_SS = maker.mask(image_SS3, probability_SS)
        return {
            "mask": _picture(encode_mask(mask_SS)),
            "photo_mask": _picture(maker.photo_png(mask_SS, width, height)),
            "probability": _picture(grey_png(probability_SS)) if keeps_probability else None,
            "area": float(mask_SS.mean()),
        }

    made = map_ahead(
        row,
        images.image_BHW3,
        probability_BSS,
        images.width,
        images.height,
        num_threads=num_threads,
    )
    rows = [own | of_image for own, of_image in zip(_image_rows(images), made, strict=True)]
    return schema.add_kept(pa.Table.from_pylist(rows, schema.APPLIED), kept, images.kept)


def file_table(
    images: LoadedShard, names: list[str], keeps_probability: bool, kept: pa.Schema
) -> pa.Table:
    """Make the table of a shard whose masks are files; schema APPLIED_FILES, see `mask_table`."""
    rows = [
        own
        | {
            "mask_file": f"{MASKS}/{name}",
            "probability_file": f"{PROBABILITIES}/{name}" if keeps_probability else None,
        }
        for own, name in zip(_image_rows(images), names, strict=True)
    ]
    return schema.add_kept(pa.Table.from_pylist(rows, schema.APPLIED_FILES), kept, images.kept)


def usual_extension(image_ids: Iterable[str]) -> str:
    """Find the extension that most names of images have, with its dot; empty if none has one."""
    images = [PurePosixPath(image_id).suffix for image_id in image_ids if is_image_name(image_id)]
    return Counter(images).most_common(1)[0][0] if images else ""


def file_names(image_ids: Iterable[str], extension: str) -> list[str]:
    """Name the file of each image by `safe_stem`, so that those of other shards have other names.

    Of `a/b.jpg` it is `a/b.png` if .jpg is the usual extension, so that of `a/b.png` is
    `a/b.png.png`.

    Args:
        image_ids: those of a shard.
        extension: the usual one, of all shards.
    """
    taken: dict[str, None] = {}
    for image_id in image_ids:
        name = f"{safe_stem(image_id.removesuffix(extension))}.png"
        while name in taken:
            name += ".png"
        taken[name] = None
    return list(taken)


def _image_rows(images: LoadedShard) -> Iterator[dict[str, Any]]:
    columns = images.image_id, images.uri, images.width, images.height
    for image_id, uri, width, height in zip(*columns, strict=True):
        yield {"image_id": image_id, "uri": uri, "width": width, "height": height}


def _picture(png: bytes) -> dict[str, Any]:
    return {"bytes": png, "path": None}
