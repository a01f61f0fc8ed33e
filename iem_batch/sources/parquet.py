"""Parquet or Arrow files with a column of images, or of their URLs, as a source."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from typing import ClassVar

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.arrow_table import ArrowTable
from iem_batch.sources.fetch import Request, fetch
from iem_batch.sources.formats import format_of
from iem_batch.sources.named_file import read_named
from iem_batch.sources.parquet_columns import Column, content_of, find_column, id_column
from iem_batch.sources.parquet_table import ParquetTable
from iem_batch.sources.pieces import LINK_TO_NOTHING, Pieces, PiecesSource
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

_EXTENSIONS = {"parquet": (".parquet", ".pq"), "arrow": (".arrow",)}


@dataclass(frozen=True)
class ParquetSource(PiecesSource):
    """Images in a column of Parquet or local Arrow files; their ids are those of another column.

    In a file without such a column, and where it is null, it is the number of the row, after
    ``<path of the file>#`` if there are several files; in a column of URLs it is the URL. An image
    without bytes but with a path, as Hugging Face has them, is read from there: see `read_named`.

    Args:
        pieces: the files.
        image: column of the images or URLs, also ``<struct>.<field>``.
        id: column of the ids, likewise; None if there is none.
        web: how web servers are asked.
        kind: ``parquet`` or ``arrow``.
    """

    exact_bytes: ClassVar[bool] = True
    """The sizes are those of the column; those of row groups that are cut are shares."""

    image: str
    id: str | None
    web: WebSettings = DEFAULTS
    kind: str = "parquet"

    @property
    def url(self) -> str:
        """Where the files lie, and the columns."""
        return self.pieces.url(self.kind, image=self.image, id=self.id or "")

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        if file.num_bytes is None:
            yield self.pieces.wrong_format(file, _EXTENSIONS[self.kind], LINK_TO_NOTHING)
            return
        if format_of(self.pieces.head(file.name)) != self.kind:
            problem = f"it does not begin as a file of {self.kind.capitalize()}"
            yield self.pieces.wrong_format(file, _EXTENSIONS[self.kind], problem)
            return
        count = 0
        try:
            for listed in self._ranges(file, max_images):
                if isinstance(listed.item, Entry):
                    count = listed.item.stop
                yield listed
        except (pa.ArrowException, OSError, SourceError) as error:
            # All of the file, or what is left of it behind damage in the column of ids.
            problem = " ".join(str(error).split())
            yield Listed(self.pieces.entry_of_problem(file, problem, count))

    def _ranges(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        assert file.num_bytes is not None
        table = open_table(self.pieces, file.name, file.num_bytes, self.kind)
        image, column = self._columns(table)
        own = self._own_ids(table, column, 0, table.num_rows)
        uri, count = self.pieces.uri(file.name), 0
        for start, stop in table.ranges(max_images):
            rows = range(start, stop)
            ids = dict(self._taken(file.name, rows, islice(own, len(rows))))
            for row in rows if len(ids) < len(rows) else ():
                if row not in ids:
                    yield Listed(IgnoredFile(uri=f"{uri}#{row}"))
            if not ids:
                continue
            entry = Entry(
                uri=uri,
                start=count,
                stop=count + len(ids),
                num_bytes=round(table.num_bytes(image, start, stop) * len(ids) / len(rows)),
                end=file.num_bytes,
                first_key=None if self.pieces.names.are_all else f"{start}:{stop}".encode(),
            )
            count = entry.stop
            # Numbers of rows are unique by themselves.
            yield Listed(entry, [] if column is None else list(ids.values()))

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        assert entry.end is not None
        name = self.pieces.name(entry.uri)
        try:
            table = open_table(self.pieces, name, entry.end, self.kind)
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
        image, column = self._columns(table)
        rows = _planned_rows(entry)
        if table.num_rows < rows.stop:
            raise changed_error(entry.uri)
        own = self._own_ids(table, column, rows.start, rows.stop)
        taken = enumerate(self._taken(name, rows, own), entry.start)
        numbered = list(islice(taken, entry.stop - entry.start))
        repeats = {row for index, (row, _) in numbered if index in entry.repeats}
        ids = {row: key for _, (row, key) in numbered if wanted is None or key in wanted}
        for row in sorted(repeats & ids.keys()) if wanted is None else ():
            yield duplicate_image(ids[row], f"{entry.uri}#{row}")
        values = _values(table, image, [row for row in ids if row not in repeats])
        if content_of(table.schema, self.image) == "url":
            requests = (
                Request(ids[row], entry.uri, f"{entry.uri}#{row}", url) for row, url in values
            )
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

    def _own_ids(
        self, table: ParquetTable, column: Column | None, start: int, stop: int
    ) -> Iterator[str | None]:
        return repeat(None) if column is None else table.texts(column, start, stop)

    def _taken(
        self, name: str, rows: range, own: Iterable[str | None]
    ) -> Iterator[tuple[int, str]]:
        """Give the rows whose images are taken, with the ids of these."""
        for row, key in zip(rows, own, strict=False):
            image_id = key if key is not None else self.pieces.image_id(name, str(row), "#")
            if image_id in self.pieces.names:
                yield row, image_id


def open_table(pieces: Pieces, name: str, size: int, kind: str) -> ParquetTable:
    """Open a piece of so many bytes, ``parquet`` or ``arrow``; see `ParquetTable`."""
    whole = pieces.whole(name, size)
    if kind == "parquet":
        return ParquetTable(whole)
    assert isinstance(whole, str)
    return ArrowTable(whole)


def _planned_rows(entry: Entry) -> range:
    """Give the rows that an entry looks at."""
    if entry.first_key is None:
        return range(entry.start, entry.stop)
    start, _, stop = entry.first_key.decode().partition(":")
    return range(int(start), int(stop))


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
