"""Images of a shard as they lie in the source, not resized, for a corpus at the original size."""

from collections.abc import Container
from dataclasses import dataclass

from iem_batch.errors import ImageRejectedError
from iem_batch.images.decode import decode_whole
from iem_batch.images.loading import UPRIGHT, orientation
from iem_batch.images.opening import open_image
from iem_batch.images.png import encode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import data_of, read_entries
from iem_batch.run.plan import shard_entries
from iem_batch.sources import RawImage, Reader, UnreadableImage

EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}

_PNG_DEPTH = 24
"""Where a PNG says how many bits its samples have."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """An encoded image that every reader shows as the engine has seen it.

    Args:
        image_id: its id.
        uri: where it lies.
        data: its own bytes, or a PNG of its pixels.
        extension: what fits them.
        width: in pixels.
        height: in pixels.
    """

    image_id: str
    uri: str
    data: bytes
    extension: str
    width: int
    height: int


def load_originals(
    run: RunFolder,
    shard: int,
    source: Reader,
    settings: DecodeSettings,
    wanted: Container[str],
    passed_on: Container[str],
) -> tuple[list[Original], list[dict[str, str]]]:
    """Read images of a shard.

    Their bytes are passed on untouched where all readers agree on them. An image becomes a PNG of
    the pixels the engine was given where readers differ: one that is turned by its EXIF tag, has
    tags that cannot be read, transparency, a palette, 16 bits or other than RGB colours, or an
    encoding not to be passed on.

    Args:
        run: the run folder, which holds the plan.
        shard: number of the shard.
        source: where the images are.
        settings: how they were decoded.
        wanted: ids of the images to load.
        passed_on: names of the encodings, as Pillow has them, that may be passed on.

    Returns:
        The images, and rows of `schema.QUARANTINE` for those that cannot be used.

    Raises:
        StorageError: the store failed; the shard can be tried again.
        SourceError: the source has vanished.
    """
    kept, rejected = [], []
    for item in read_entries(source, shard_entries(run, shard), wanted):
        try:
            kept.append(_original(item, settings, passed_on))
        except ImageRejectedError as error:
            row = schema.quarantine_row(item.image_id, item.uri, error.reason, error.message)
            rejected.append(row)
    return kept, rejected


def _original(
    item: RawImage | UnreadableImage, settings: DecodeSettings, passed_on: Container[str]
) -> Original:
    data = data_of(item)
    # Decoded in any case: a corpus must have no image that cannot be opened.
    pixels_HW3 = decode_whole(data, settings)
    kind = _plain_kind(data)
    extension = EXTENSIONS[kind] if kind in EXTENSIONS and kind in passed_on else None
    return Original(
        image_id=item.image_id,
        uri=item.uri,
        data=encode_pixels(pixels_HW3) if extension is None else data,
        extension=extension or "png",
        width=pixels_HW3.shape[1],
        height=pixels_HW3.shape[0],
    )


def _plain_kind(data: bytes) -> str | None:
    """Name the encoding of an image that all readers show alike; None for any other."""
    with open_image(data) as image:
        is_plain = (
            image.mode in ("L", "RGB")
            and "transparency" not in image.info
            and orientation(image) == UPRIGHT
            and not (image.format == "PNG" and data[_PNG_DEPTH] > 8)
        )
        kind = "JPEG" if image.format == "MPO" else image.format
        return kind if is_plain else None
