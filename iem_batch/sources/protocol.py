"""What every source of images does, and the records that go to and from it."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import quote

import pyarrow as pa

from iem_batch.errors import SourceError
from iem_batch.sources.names import Names

MAX_FILE_BYTES = 1 << 30
"""An image of more bytes is not read: none within the decoder's limits needs as many."""

NO_COLUMNS = pa.schema([])
"""`Source.kept` of a source of which only the images are taken."""

Count = Literal["exact", "estimated", "at_most"]
"""How sure ``stop`` of an entry is.

``estimated``: the piece was not looked through, and is read to its end whatever ``stop`` says.
``at_most``: the piece was not looked through, and only the images before ``stop`` are read.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A range of images in one piece of a source.

    Args:
        uri: the piece: a file, a tar, ...
        start: first image of the range, counted in the piece.
        stop: one past the last.
        num_bytes: size of the range; 0 where it cannot be told without reading.
        count: how sure `stop` is.
        offset: first byte of the range in the piece, where the format has such.
        end: one past its last byte.
        first_key: key of the first image, where the format has keys; of a table whose rows are not
            an image each, or not all taken, the rows to look at and how many images of the first
            one come before, as start:stop:number.
        codec: how the piece is packed as a whole, with `offset` and `end` in what it unpacks to.
        repeats: those of start..stop-1 whose id belongs to an earlier image of the source.
        problem: why the piece cannot be read at all; it counts as one image.
    """

    uri: str
    start: int
    stop: int
    num_bytes: int
    count: Count = "exact"
    offset: int | None = None
    end: int | None = None
    first_key: bytes | None = None
    codec: str | None = None
    repeats: tuple[int, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoredFile:
    """Something in a source that is not taken for images."""

    uri: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RawImage:
    """An encoded image as it lies in the source.

    Args:
        image_id: names the image in this run; unique, and the same however often it is read.
        uri: where it lies, for a person.
        data: the encoded bytes.
        kept: what its source has of it in the columns `Source.kept`.
    """

    image_id: str
    uri: str
    data: bytes
    kept: tuple[object, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadableImage:
    """An image that was planned and cannot be read; becomes a quarantine row.

    Args:
        image_id: as in `RawImage`.
        uri: as in `RawImage`.
        reason: ``missing``, ``unreadable``, ``too_large``, ``truncated``, ``duplicate``, ``null``,
            ``unsafe_path``, ``not_a_file`` or ``not_a_url``; of a URL also ``unreachable`` (no
            answer), ``busy`` and ``refused`` (answers of its server), or ``opted_out``.
        message: what was found, for a person.
    """

    image_id: str
    uri: str
    reason: str
    message: str


class Reader(Protocol):
    """Reads what was planned."""

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range, image by image: exactly ``entry.stop - entry.start`` items if it is exact.

        With `wanted`, only the images of these ids, and no bytes of the others where the format
        allows. An image that cannot be read is an item, so that its neighbours are not lost.

        Raises:
            StorageError: the store failed, which says nothing about the image; try again.
            SourceError: the collection has vanished or is not what was planned.
        """


class Source(Reader, Protocol):
    """A collection of images. Small and picklable: it travels to every worker."""

    @property
    def url(self) -> str:
        """Where the collection lies and how to read it: opens the same without looking."""

    @property
    def exact_bytes(self) -> bool:
        """Whether the `num_bytes` of all entries are those in the source, not estimates."""

    @property
    def kept(self) -> pa.Schema:
        """The columns whose values come with each image, as `RawImage.kept`.

        Raises:
            SourceError: the source has no such columns; the message lists those it has.
        """

    def fingerprint(self) -> str | None:
        """Tell by little whether the collection is as it was; None where listing is little work.

        Raises:
            SourceError: the collection cannot be listed.
        """

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List the collection in an order that depends on its names alone.

        Args:
            max_images: images in an entry, at most.

        Raises:
            SourceError: the collection cannot be listed.
        """


def source_url(place: str, kind: str, names: Names, **options: str | None) -> str:
    """Make what `Source.url` gives; options that are None are left out.

    Args:
        place: where the collection lies.
        kind: its format.
        names: the images that are taken.
        options: what else is needed to open it without looking.
    """
    options |= {"include": names.include, "exclude": names.exclude}
    given = ((name, value) for name, value in options.items() if value is not None)
    further = (f"&{name}={quote(value, safe='/*?[]!,')}" for name, value in given)
    return f"{place}#format={kind}{''.join(further)}"


def without_format(url: str) -> str:
    """Strip what `Source.url` says of the format: what a person calls the source."""
    return url.partition("#format=")[0]


def changed_error(uri: str) -> SourceError:
    """Make the error for a piece that does not hold what was planned."""
    return SourceError(f"{uri} has changed since the run was planned")


def gone_error(uri: str) -> SourceError:
    """Make the error for a piece that is no longer there."""
    return SourceError(f"{uri} is gone; it was there when the run was planned")


def duplicate_image(image_id: str, uri: str) -> UnreadableImage:
    """Make the item for an image whose id belongs to an earlier one."""
    message = f"an earlier image of the source is {image_id} too; that one is kept"
    return UnreadableImage(image_id=image_id, uri=uri, reason="duplicate", message=message)


def utf8(name: str) -> str:
    """Escape what is not valid Unicode in a name: the tables hold UTF-8 only."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
