"""Images that must not be decoded: they killed the process that did, or need too much memory.

An image that crashes a decoder ends the process, so no error can turn it into a row. Once it is
found, it is written down in the run folder and not decoded again.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from iem_batch.errors import WorkerMemoryError
from iem_batch.images.opening import open_image
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import read_entries
from iem_batch.run.plan import shard_entries
from iem_batch.sources import Entry, RawImage, Source, UnreadableImage

REASON = "kills_worker"
"""What the quarantine says of such an image."""

BYTES_PER_PIXEL = 12
"""Memory that decoding takes for each pixel of the original, at most: Pillow's own 4 bytes, and
those of one conversion and one copy."""


@dataclass(frozen=True)
class GuardedSource:
    """Reads a source, but keeps back images that must not be decoded.

    Args:
        source: the source itself.
        killers: image_id -> what it did.
        memory_bytes: what decoding one image may take; None is no limit.
        max_pixels: as in `DecodeSettings`: what has more is rejected before it takes memory.
    """

    source: Source
    killers: Mapping[str, str]
    memory_bytes: int | None
    max_pixels: int

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range; a killer comes as an image that cannot be read.

        Raises:
            WorkerMemoryError: an image needs more memory than there is.
        """
        for item in self.source.read(entry, wanted):
            if not isinstance(item, RawImage):
                yield item
            elif item.image_id in self.killers:
                yield UnreadableImage(
                    image_id=item.image_id,
                    uri=item.uri,
                    reason=REASON,
                    message=self.killers[item.image_id],
                )
            else:
                if self.memory_bytes is not None:
                    _require_memory(item, self.memory_bytes, self.max_pixels)
                yield item


def guard(
    run: RunFolder,
    steps: Container[str],
    shard: int,
    source: Source,
    settings: DecodeSettings,
    memory_bytes: int | None,
) -> GuardedSource:
    """Keep back what is known to kill, in a step or an earlier one, and what is too large.

    Args:
        run: the run.
        steps: the step that is to work on the images, and all before it.
        shard: the shard that is to be read.
        source: where the images are.
        settings: how they will be decoded.
        memory_bytes: what decoding one image may take; None is no limit.
    """
    killers = read_killers(run, steps, shard)
    return GuardedSource(source, killers, memory_bytes, settings.max_pixels)


def read_killers(run: RunFolder, steps: Container[str], shard: int) -> dict[str, str]:
    """Read image_id -> what it did, for the killers found in some steps.

    Those of later steps must not count, so that doing a step again gives what it gave before.
    """
    return {
        image_id: killer["message"]
        for image_id, killer in _read(run, shard).items()
        if killer["step"] in steps
    }


def add_killers(run: RunFolder, step: str, shard: int, messages: Mapping[str, str]) -> None:
    """Write down images that killed their process in a step."""
    found = {key: {"step": step, "message": message} for key, message in messages.items()}
    found = _read(run, shard) | found
    run.write_json(layout.killers(shard), dict(sorted(found.items())))


def _read(run: RunFolder, shard: int) -> dict[str, dict[str, str]]:
    """Read image_id -> the step that found it and a message."""
    try:
        killers: dict[str, dict[str, str]] = run.read_json(layout.killers(shard))
    except FileNotFoundError:
        return {}
    return killers


def planned_ids(run: RunFolder, shard: int, source: Source) -> list[str]:
    """List the ids of what a shard has to decode, in the order of the plan; decodes nothing."""
    items = read_entries(source, shard_entries(run, shard))
    return [item.image_id for item in items if isinstance(item, RawImage)]


def largest_images(run: RunFolder, shard: int, source: Source, count: int = 3) -> str:
    """Name the images of a shard that have most pixels, by their headers alone."""
    sizes: list[tuple[int, str]] = []
    for item in read_entries(source, shard_entries(run, shard)):
        size = header_size(item.data) if isinstance(item, RawImage) else None
        if size is not None:
            sizes.append((size[0] * size[1], f"{item.image_id} ({size[0]}x{size[1]})"))
    sizes.sort(reverse=True)
    return ", ".join(name for _, name in sizes[:count])


def header_size(data: bytes, max_pixels: int = 0) -> tuple[int, int] | None:
    """Read width and height from an image's header; None if it has none that can be read."""
    try:
        with open_image(data, max_pixels) as image:
            return image.size
    # Pillow lets nearly any exception of its plugins through; the decoder gives the reason.
    except Exception:  # noqa: BLE001
        return None


def _require_memory(item: RawImage, memory_bytes: int, max_pixels: int) -> None:
    size = header_size(item.data, max_pixels)
    if size is None or size[0] * size[1] > max_pixels:
        return
    needed = size[0] * size[1] * BYTES_PER_PIXEL + len(item.data)
    if needed > memory_bytes:
        raise WorkerMemoryError(
            f"decoding {item.image_id} ({size[0]}x{size[1]}) takes up to {needed / 1e6:,.0f} MB, "
            f"the worker's share is {memory_bytes / 1e6:,.0f} MB; raise limits.memory_mb, or lower "
            "decode.max_pixels to have such images rejected"
        )
