"""Parquet files with a column of images, or of their URLs, as a source."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import ClassVar
from urllib.parse import quote

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.fetch import Request, fetch
from iem_batch.sources.formats import format_of
from iem_batch.sources.named_file import read_named
from iem_batch.sources.parquet_columns import Column, content_of, find_column, id_column
from iem_batch.sources.parquet_table import ParquetTable
from iem_batch.sources.pieces import LINK_TO_NOTHING, PiecesSource
from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate_image,
    gone_error,
)
from iem_batch.sources.repeats import Listed
from iem_batch.storage.folder import FoundFile
from iem_batch.storage.settings import DEFAULTS, WebSettings

_EXTENSIONS = (".parquet", ".pq")


@dataclass(frozen=True)
class ParquetSource(PiecesSource):
    """Images in a column of Parquet files; an image's id is that in a column of ids, as text.

    In a file without such a column, and where it is null, it is the number of the row, after
    ``<path of the file>#`` if there are several files; in a column of URLs it is the URL. An image
    without bytes but with a path, as Hugging Face has them, is read from there: see `read_named`.

    Args:
        pieces: the files.
        image: column of the images or URLs, also ``<struct>.<field>``.
        id: column of the ids, likewise; None if there is none.
        web: how web servers are asked.
    """

    exact_bytes: ClassVar[bool] = True
    """The sizes are those of the column; those of row groups that are cut are shares."""

    image: str
    id: str | None
    web: WebSettings = DEFAULTS

    @property
    def url(self) -> str:
        """Where the files lie, and the columns."""
        image, image_id = quote(self.image), quote(self.id or "")
        return f"{self.pieces.folder.url}#format=parquet&image={image}&id={image_id}"

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List the files in order of their names, cut at row groups where these are small enough.

        Raises:
            SourceError: the source cannot be listed or read.
        """
        return self.pieces.entries(partial(self._look, max_images=max_images))

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        if file.num_bytes is None:
            yield self.pieces.wrong_format(file, _EXTENSIONS, LINK_TO_NOTHING)
            return
        if format_of(self.pieces.head(file.name)) != "parquet":
            yield self.pieces.wrong_format(file, _EXTENSIONS, "it does not begin as a Parquet file")
            return
        try:
            yield from self._ranges(file, max_images)
        except (pa.ArrowException, OSError, SourceError) as error:
            # All of the file, or what is left of it behind damage in the column of ids.
            problem = " ".join(str(error).split())
            yield Listed(self.pieces.entry_of_problem(file, problem))

    def _ranges(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        assert file.num_bytes is not None
        table = ParquetTable(self.pieces.whole(file.name, file.num_bytes))
        image, column = self._columns(table)
        ids = table.texts(column, 0, table.num_rows) if column is not None else None
        for start, stop in table.ranges(max_images):
            entry = Entry(
                uri=self.pieces.uri(file.name),
                start=start,
                stop=stop,
                num_bytes=table.num_bytes(image, start, stop),
                end=file.num_bytes,
            )
            rows = range(start, stop)
            some = islice(ids, len(rows)) if ids is not None else [None] * len(rows)
            pairs = zip(rows, some, strict=True)
            known = [self._image_id(file.name, row, own) for row, own in pairs]
            # Numbers of rows are unique by themselves.
            yield Listed(entry, known if ids is not None else ())

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range of rows; of the images only the row groups that hold wanted ones.

        Raises:
            StorageError: the store failed, which says nothing about the image; try again.
            SourceError: the file has vanished or is not what was planned.
        """
        if entry.problem is not None:
            yield self.pieces.unreadable(entry)
            return
        assert entry.end is not None
        name = self.pieces.name(entry.uri)
        try:
            table = ParquetTable(self.pieces.whole(name, entry.end))
            yield from self._rows(table, name, entry, wanted)
        except pa.ArrowException as error:
            raise changed_error(entry.uri) from error
        except FileNotFoundError as error:
            raise gone_error(entry.uri) from error
        except OSError as error:
            raise StorageError(f"cannot read {entry.uri}: {error.strerror or error}") from error

    def _rows(
        self, table: ParquetTable, name: str, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        if table.num_rows < entry.stop:
            raise changed_error(entry.uri)
        image, column = self._columns(table)
        rows = range(entry.start, entry.stop)
        own = table.texts(column, entry.start, entry.stop) if column is not None else None
        ids = {row: self._image_id(name, row, next(own) if own else None) for row in rows}
        if wanted is not None:
            ids = {row: key for row, key in ids.items() if key in wanted}
        repeats = frozenset(entry.repeats)
        for repeat in sorted(repeats & ids.keys()) if wanted is None else ():
            yield duplicate_image(ids[repeat], f"{entry.uri}#{repeat}")
        values = _values(table, image, [row for row in ids if row not in repeats])
        if content_of(table.schema, self.image) == "url":
            requests = (Request(ids[row], f"{entry.uri}#{row}", url) for row, url in values)
            yield from fetch(requests, self.pieces.folder.is_local, self.web)
            return
        for row, value in values:
            uri = f"{entry.uri}#{row}"
            if isinstance(value, str):
                yield read_named(value, entry.uri, ids[row], uri)
            else:
                yield _image(ids[row], uri, value)

    def _columns(self, table: ParquetTable) -> tuple[Column, Column | None]:
        """Give the columns of a file's images and of their ids, if it has any.

        Raises:
            SourceError: the file has no such columns.
        """
        image, content = find_column(table.schema, self.image), content_of(table.schema, self.image)
        column = None if self.id is None else id_column(table.schema, self.id)
        return image, image if column is None and content == "url" else column

    def _image_id(self, name: str, row: int, own: str | None) -> str:
        return own if own is not None else self.pieces.image_id(name, str(row), "#")


def _image(image_id: str, uri: str, value: object) -> RawImage | UnreadableImage:
    if isinstance(value, bytes):
        return RawImage(image_id=image_id, uri=uri, data=value)
    reason, message = ("null", "the image is null") if value is None else ("unreadable", str(value))
    return UnreadableImage(image_id=image_id, uri=uri, reason=reason, message=message)


def _values(table: ParquetTable, column: Column, rows: list[int]) -> Iterator[tuple[int, object]]:
    """Read the images; those behind a damaged page come as the error."""
    left = dict.fromkeys(rows)
    try:
        for row, value in table.images(column, left.keys()):
            del left[row]
            yield row, value
    except (pa.ArrowException, OSError) as error:
        for row in left:
            yield row, error
