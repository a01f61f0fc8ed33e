"""Parquet or Arrow files with a column of images, or of their URLs, as a source."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice, pairwise, repeat
from typing import ClassVar, NamedTuple

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.fetch import Request, fetch
from iem_batch.sources.formats import format_of
from iem_batch.sources.named_file import read_named
from iem_batch.sources.parquet_columns import (
    Column,
    content_of,
    find_column,
    find_kept,
    id_column,
    kept_schema,
    require_fit,
    split_at_list,
)
from iem_batch.sources.parquet_table import ParquetTable
from iem_batch.sources.pieces import LINK_TO_NOTHING, PiecesSource
from iem_batch.sources.protocol import (
    NO_COLUMNS,
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate_image,
    gone_error,
)
from iem_batch.sources.repeats import Listed
from iem_batch.sources.tables import first_schema, open_table
from iem_batch.storage.folder import FoundFile
from iem_batch.storage.settings import DEFAULTS, WebSettings

_EXTENSIONS = {"parquet": (".parquet", ".pq"), "arrow": (".arrow",)}


class _Cell(NamedTuple):
    """Where an image stands in a file."""

    row: int
    place: int | None
    """In the list of the row, from 0; None where that is empty, or the column holds no lists."""
    image_id: str

    @property
    def label(self) -> str:
        """The same for a person."""
        return str(self.row) if self.place is None else f"{self.row}/{self.place}"


@dataclass(frozen=True)
class ParquetSource(PiecesSource):
    """Images in a column of Parquet or local Arrow files; their ids are those of another column.

    In a file without such a column, and where it is null, it is the number of the row, after
    ``<path of the file>#`` if there are several files; in a column of URLs it is the URL. An image
    without bytes but with a path, as Hugging Face has them, is read from there: see `read_named`.

    A column may hold lists of images: their ids are the row's with ``/0``, ``/1``, ... behind it.
    An empty list is one image that is null, with the id of the row.

    Args:
        pieces: the files.
        image: column of the images or URLs, also ``<struct>.<field>``, and through a list.
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

    @cached_property
    def kept(self) -> pa.Schema:
        """The columns that are read with the images, of the types of the first file."""
        if not self.pieces.keep:
            return NO_COLUMNS
        return kept_schema(first_schema(self.pieces, self.kind), self.pieces.keep)

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
        uri, count, names = self.pieces.uri(file.name), 0, self.pieces.names
        require_fit(table.schema, self.kept, uri)
        stored, in_item = split_at_list(table.schema, image)
        is_plain = names.are_all and in_item is None
        found = self._cells(table, file.name, range(table.num_rows))
        for start, stop in table.ranges(max_images):
            cells = list(chain.from_iterable(islice(found, stop - start)))
            taken = cells if names.are_all else [c for c in cells if c.image_id in names]
            for cell in cells if len(taken) < len(cells) else ():
                if cell.image_id not in names:
                    yield Listed(IgnoredFile(uri=f"{uri}#{cell.label}"))
            size = table.num_bytes(stored, start, stop) / len(cells)
            for first, last in pairwise([*range(0, len(taken), max_images), len(taken)]):
                entry = Entry(
                    uri=uri,
                    start=count,
                    stop=count + last - first,
                    num_bytes=round(size * (last - first)),
                    end=file.num_bytes,
                    first_key=None if is_plain else _rows_of(taken, first, last),
                )
                count = entry.stop
                # Numbers of rows are unique by themselves.
                ids = [] if column is None else [cell.image_id for cell in taken[first:last]]
                yield Listed(entry, ids)

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        assert entry.end is not None
        name = self.pieces.name(entry.uri)
        try:
            table = open_table(self.pieces, name, entry.end, self.kind)
            yield from self._images(table, name, entry, wanted)
        except pa.ArrowException as error:
            raise changed_error(entry.uri) from error
        except FileNotFoundError as error:
            raise gone_error(entry.uri) from error
        except OSError as error:
            raise StorageError(f"cannot read {entry.uri}: {error.strerror or error}") from error

    def _images(
        self, table: ParquetTable, name: str, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        start, stop, skipped = _planned_rows(entry)
        if table.num_rows < stop:
            raise changed_error(entry.uri)
        cells = chain.from_iterable(self._cells(table, name, range(start, stop)))
        taken = (cell for cell in cells if cell.image_id in self.pieces.names)
        planned = enumerate(islice(taken, skipped, None), entry.start)
        chosen: list[_Cell] = []
        for index, cell in islice(planned, entry.stop - entry.start):
            if index not in entry.repeats:
                chosen += [cell] if wanted is None or cell.image_id in wanted else []
            elif wanted is None:
                yield duplicate_image(cell.image_id, f"{entry.uri}#{cell.label}")
        found = self._values(table, entry.uri, chosen)
        if not self.pieces.keep:
            yield from found
            return
        rows = {cell.image_id: cell.row for cell in chosen}
        columns = find_kept(table.schema, self.pieces.keep)
        kept = table.kept(columns, rows.values())
        for item in found:
            if isinstance(item, RawImage):
                item = replace(item, kept=kept[rows[item.image_id]])
            yield item

    def _values(
        self, table: ParquetTable, uri: str, cells: Sequence[_Cell]
    ) -> Iterator[RawImage | UnreadableImage]:
        image, _ = self._columns(table)
        values = _values(table, image, cells)
        if content_of(table.schema, self.image) == "url":
            requests = (
                Request(cell.image_id, uri, f"{uri}#{cell.label}", url) for cell, url in values
            )
            yield from fetch(requests, self.pieces.folder.is_local, self.web)
            return
        nothing = "its list of images is empty" if _has_lists(table, image) else "the image is null"
        for cell, value in values:
            place = f"{uri}#{cell.label}"
            if isinstance(value, str):
                yield read_named(value, uri, cell.image_id, place)
            else:
                missing = nothing if cell.place is None else "the image is null"
                yield _image(cell.image_id, place, value, missing)

    def _columns(self, table: ParquetTable) -> tuple[Column, Column | None]:
        """Give the columns of a file's images and of their ids, if it has any.

        Raises:
            SourceError: the file has no such columns.
        """
        image = find_column(table.schema, self.image, in_lists=True)
        is_url = content_of(table.schema, self.image) == "url" and not _has_lists(table, image)
        column = None if self.id is None else id_column(table.schema, self.id)
        return image, image if column is None and is_url else column

    def _cells(self, table: ParquetTable, name: str, rows: range) -> Iterator[list[_Cell]]:
        """Give the images of each row of a range."""
        image, column = self._columns(table)
        own: Iterator[str | None] = repeat(None)
        if column is not None:
            own = table.texts(column, rows.start, rows.stop)
        lengths: Iterator[int] = repeat(0)
        outer, in_item = split_at_list(table.schema, image)
        if in_item is not None:
            lengths = table.lengths(outer, rows.start, rows.stop)
        for row, key, length in zip(rows, own, lengths, strict=False):
            image_id = key if key is not None else self.pieces.image_id(name, str(row), "#")
            if length:
                yield [_Cell(row, place, f"{image_id}/{place}") for place in range(length)]
            else:
                yield [_Cell(row, None, image_id)]


def _has_lists(table: ParquetTable, image: Column) -> bool:
    return split_at_list(table.schema, image)[1] is not None


def _rows_of(taken: Sequence[_Cell], first: int, last: int) -> bytes:
    """Say which rows hold the images first..last-1, and how many before these are in the first."""
    row = taken[first].row
    before = next(index for index, cell in enumerate(taken) if cell.row == row)
    return f"{row}:{taken[last - 1].row + 1}:{first - before}".encode()


def _planned_rows(entry: Entry) -> tuple[int, int, int]:
    """Give the rows that an entry looks at, and how many images of them come before its first."""
    if entry.first_key is None:
        return entry.start, entry.stop, 0
    start, stop, before = map(int, entry.first_key.split(b":"))
    return start, stop, before


def _image(image_id: str, uri: str, value: object, missing: str) -> RawImage | UnreadableImage:
    if isinstance(value, bytes):
        return RawImage(image_id=image_id, uri=uri, data=value)
    reason, message = ("null", missing) if value is None else ("unreadable", str(value))
    return UnreadableImage(image_id=image_id, uri=uri, reason=reason, message=message)


def _values(
    table: ParquetTable, column: Column, cells: Sequence[_Cell]
) -> Iterator[tuple[_Cell, object]]:
    """Read the images; those behind a damaged page come as the error."""
    left: dict[int, list[_Cell]] = {}
    for cell in cells:
        left.setdefault(cell.row, []).append(cell)
    try:
        for row, values in table.images(column, left.keys()):
            for cell in left.pop(row):
                yield cell, values[cell.place or 0] if values else None
    except (pa.ArrowException, OSError) as error:
        for cell in chain.from_iterable(left.values()):
            yield cell, error
