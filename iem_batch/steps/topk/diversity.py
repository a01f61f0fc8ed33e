"""Leaving out images that look like one of higher error, by a perceptual hash of a library."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from iem_batch.checks import needs_extra
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.plan import read_plan
from iem_batch.sources import Source, WebSettings, open_source
from iem_batch.storage.read_ahead import LARGE_REQUESTS, map_ahead

POOL = 2
"""So many times k images are looked at, to have k that differ; there may be fewer."""

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What was left out."""

    num_near_duplicates: int = 0
    num_gone: int = 0
    """Images that can no longer be read."""


def without_near_duplicates(
    run: RunFolder, best: pa.Table, bits: int, decode: DecodeSettings, web: WebSettings
) -> tuple[pa.Table, LeftOut]:
    """Go down the rows and keep each image that differs enough from all that are kept before it.

    Args:
        run: the run, which knows where the images are; they are read again.
        best: rows with image_id and shard, the best first.
        bits: near-duplicates differ in so many of 64 bits of their hashes (ImageHash's phash, of
            what the engine sees), or fewer.
        decode: how images become pixels.
        web: how those of a list of URLs are asked for.

    Returns:
        The rows kept, in their order, and how many of the others there were.

    Raises:
        BackendUnavailableError: ImageHash is not installed.
        SourceError: the source has vanished.
    """
    source = open_source(read_plan(run).source_url, web)
    hashes = _hashes(run, best, source, decode)
    kept_N8 = np.empty((len(best), 8), np.uint8)
    kept: list[int] = []
    num_gone = 0
    for row, image_id in enumerate(best["image_id"].to_pylist()):
        own = hashes.get(image_id)
        if own is None:
            num_gone += 1
            continue
        differ = _ONES[kept_N8[: len(kept)] ^ own].sum(axis=1)
        if not (differ <= bits).any():
            kept_N8[len(kept)] = own
            kept.append(row)
    left_out = LeftOut(num_near_duplicates=len(best) - num_gone - len(kept), num_gone=num_gone)
    return best.take(pa.array(kept, pa.int64())), left_out


def _hashes(
    run: RunFolder, best: pa.Table, source: Source, decode: DecodeSettings
) -> dict[str, NDArray[np.uint8]]:
    shards = pc.unique(best["shard"]).to_pylist()
    hashes = partial(_hashes_of_shard, run, best, source, decode)
    found = map_ahead(hashes, shards, num_threads=LARGE_REQUESTS)
    return {image_id: bits for of_shard in found for image_id, bits in of_shard}


def _hashes_of_shard(
    run: RunFolder, best: pa.Table, source: Source, decode: DecodeSettings, shard: int
) -> list[tuple[str, NDArray[np.uint8]]]:
    wanted = best.filter(pc.equal(best["shard"], shard))["image_id"].to_pylist()
    loaded = load_shard(run, shard, source, decode, frozenset(wanted))
    return list(zip(loaded.image_id, _phash(loaded.image_BHW3), strict=True))


def _phash(image_BHW3: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    with needs_extra("diversity", "topk.diversity_bits"):
        import imagehash
    for image_HW3 in image_BHW3:
        yield np.packbits(imagehash.phash(Image.fromarray(image_HW3)).hash)
