"""From a planned shard to pixels; whatever cannot be used becomes a row."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import ImageRejectedError, IntegrityError
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import shard_entries
from iem_batch.run.schema import quarantine_row
from iem_batch.sources import Entry, RawImage, Reader, UnreadableImage
from iem_batch.storage.read_ahead import LARGE_REQUESTS, read_ahead


@dataclass(frozen=True, kw_only=True)
class LoadedShard:
    """The images of a shard. B = images that could be used, in the order of the plan.

    Args:
        shard: its number.
        image_BHW3: uint8 RGB.
        image_id: B names.
        uri: B places.
        width: B widths of the originals, in pixels.
        height: B heights of the originals, in pixels.
        kept: B times what the source has in the columns that are kept.
        rejected: rows of `schema.QUARANTINE`, in the order of the plan.
        planned: how many images the shard was to load: B + len(rejected).
        num_losing_levels: how many of the B would keep more with `decode.range` percentile.
    """

    shard: int
    image_BHW3: NDArray[np.uint8]
    image_id: list[str]
    uri: list[str]
    width: list[int]
    height: list[int]
    rejected: list[dict[str, str]]
    planned: int
    num_losing_levels: int = 0
    kept: Sequence[tuple[object, ...]] = ()

    def without_pixels(self) -> "LoadedShard":
        """Give the same without pixels, images of 0 x 0, where only ids and sizes are needed."""
        return replace(self, image_BHW3=self.image_BHW3[:, :0, :0])

    def reject(self, messages: Mapping[int, str], reason: str) -> "LoadedShard":
        """Move images to those that could not be used.

        Args:
            messages: place in B -> what happened.
            reason: of all of them.
        """
        kept = [b for b in range(len(self.image_id)) if b not in messages]
        rows = [
            quarantine_row(self.image_id[b], self.uri[b], reason, messages[b])
            for b in sorted(messages)
        ]
        return replace(
            self,
            image_BHW3=self.image_BHW3[kept],
            image_id=[self.image_id[b] for b in kept],
            uri=[self.uri[b] for b in kept],
            width=[self.width[b] for b in kept],
            height=[self.height[b] for b in kept],
            kept=[self.kept[b] for b in kept],
            rejected=[*self.rejected, *rows],
        )


def load_shard(
    run: RunFolder,
    shard: int,
    source: Reader,
    settings: DecodeSettings,
    wanted: Container[str] | None = None,
) -> LoadedShard:
    """Read and decode the images of a shard.

    Args:
        run: the run folder, which holds the plan.
        shard: number of the shard.
        source: where the images are.
        settings: how they are decoded.
        wanted: ids of the images to load, so that the others are not read; None loads all.

    Raises:
        StorageError: the store failed; the shard can be tried again.
        SourceError: the source has vanished.
        IntegrityError: the source gave more or fewer images than were planned.
    """
    entries = shard_entries(run, shard)
    in_plan = sum(entry.stop - entry.start for entry in entries)
    # Pixels go where they will stay, each while it is still in the processor's cache.
    image_BHW3 = np.empty((in_plan, settings.size_px, settings.size_px, 3), np.uint8)
    taken: list[tuple[str, str, int, int, tuple[object, ...]]] = []
    rejected: list[dict[str, str]] = []
    num_losing_levels = 0
    for item in read_entries(source, entries, wanted):
        try:
            decoded = decode(data_of(item), settings)
        except ImageRejectedError as error:
            rejected.append(quarantine_row(item.image_id, item.uri, error.reason, error.message))
            continue
        if len(taken) == len(image_BHW3):  # of an estimated entry
            image_BHW3 = np.concatenate([image_BHW3, np.empty_like(image_BHW3)])
        image_BHW3[len(taken)] = decoded.pixels
        num_losing_levels += decoded.loses_levels
        assert isinstance(item, RawImage)
        taken.append((item.image_id, item.uri, decoded.width, decoded.height, item.kept))
    planned = len(taken) + len(rejected)
    if wanted is None:
        require_planned(shard, entries, planned)
    return LoadedShard(
        shard=shard,
        image_BHW3=image_BHW3[: len(taken)],
        image_id=[image[0] for image in taken],
        uri=[image[1] for image in taken],
        width=[image[2] for image in taken],
        height=[image[3] for image in taken],
        kept=[image[4] for image in taken],
        rejected=rejected,
        planned=planned,
        num_losing_levels=num_losing_levels,
    )


def require_planned(shard: int, entries: Sequence[Entry], num_images: int) -> None:
    """Check that a shard which was read as a whole has as many images as were planned.

    Raises:
        IntegrityError: the source gave more or fewer, where the plan is exact.
    """
    in_plan = sum(entry.stop - entry.start for entry in entries)
    if num_images != in_plan and all(entry.count == "exact" for entry in entries):
        message = f"shard {shard} has {in_plan:,} images, and its source gave {num_images:,}"
        raise IntegrityError(message)


def read_entries(
    source: Reader, entries: Sequence[Entry], wanted: Container[str] | None = None
) -> Iterator[RawImage | UnreadableImage]:
    """Read entries in order; single files of a remote store several at a time.

    Args:
        source: where the images are.
        entries: those of a shard.
        wanted: as in `load_shard`.

    Raises:
        StorageError: the store failed; the shard can be tried again.
        SourceError: the source has vanished or is not what was planned.
    """
    parts = [partial(source.read, entry, wanted) for entry in entries]
    if len(entries) > LARGE_REQUESTS and "://" in entries[0].uri:
        return read_ahead(parts, LARGE_REQUESTS)
    return chain.from_iterable(part() for part in parts)


def data_of(item: RawImage | UnreadableImage) -> bytes:
    """Give the encoded bytes of what a source has read.

    Raises:
        ImageRejectedError: it could not be read.
    """
    if isinstance(item, UnreadableImage):
        raise ImageRejectedError(item.reason, item.message)
    return item.data
