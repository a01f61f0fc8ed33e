"""Reading ranges of rows of one Parquet file, of the needed columns alone."""

import io
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from iem_batch.sources.parquet_columns import Column, id_text, is_text, split_at_list, type_of

IMAGES_AT_ONCE = 32
"""Images that are in memory at a time, beside the pages they were in."""

_IDS_AT_ONCE = 8192
_STREAM_BYTES = 8 << 20
_MAX_BUFFERED_BYTES = 64 << 20
"""Columns of a range up to this size are fetched at once, larger ones page by page."""


class ParquetTable:
    """An open Parquet file.

    Args:
        file: its path, or the file itself, seekable.

    Raises:
        pyarrow.ArrowException: it is no Parquet file.
        OSError: it is no Parquet file, or the local disk failed.
        StorageError: the store failed.
    """

    def __init__(self, file: str | io.RawIOBase) -> None:
        self.file = file
        self.metadata = pq.read_metadata(file)
        self.schema: pa.Schema = self.metadata.schema.to_arrow_schema()
        groups = range(self.metadata.num_row_groups)
        sizes = (self.metadata.row_group(group).num_rows for group in groups)
        self._edges = list(accumulate(sizes, initial=0))

    @property
    def num_rows(self) -> int:
        """Rows in all row groups."""
        count: int = self._edges[-1]
        return count

    def ranges(self, max_rows: int) -> Iterator[tuple[int, int]]:
        """Cut the rows where row groups meet, and within those of more than `max_rows`."""
        start = 0
        for first, stop in pairwise(self._edges):
            if stop - start > max_rows and first > start:
                yield start, first
                start = first
            while stop - start > max_rows:
                yield start, start + max_rows
                start += max_rows
        if self.num_rows > start:
            yield start, self.num_rows

    def num_bytes(self, column: Column, start: int, stop: int) -> int:
        """Give the size of a range of a column as stored; of parts of row groups their share."""
        total = 0.0
        for group in self._groups(start, stop):
            first, last = self._edges[group], self._edges[group + 1]
            share = (min(stop, last) - max(start, first)) / (last - first)
            total += share * self._column_bytes(group, column)
        return round(total)

    def images(self, column: Column, rows: Collection[int]) -> Iterator[tuple[int, list[Any]]]:
        """Read a column of images or URLs at some rows; row groups without any are not read.

        Args:
            column: the column; of a struct the field ``bytes``, and where that is null ``path``.
            rows: the numbers of the rows.

        Yields:
            The number of a row and its values, in order, each bytes, text or None: one, or as many
            as its list holds.
        """
        outer, inner = split_at_list(self.schema, column)
        if inner is not None:
            for row, value in self._values(outer, [outer], rows, 1):
                yield row, [_image(_inside(item, inner)) for item in _items(value)]
            return
        kind = type_of(self.schema, column)
        leaves = [column]
        if pa.types.is_struct(kind):
            index = kind.get_field_index("path")
            has_path = index != -1 and is_text(kind.field(index).type)
            leaves = [(*column, field) for field in (["bytes", "path"] if has_path else ["bytes"])]
        for row, value in self._values(column, leaves, rows, IMAGES_AT_ONCE):
            yield row, [_image(value)]

    def lengths(self, column: Column, start: int, stop: int) -> Iterator[int]:
        """Give the lengths of the lists in some rows, of null 0.

        Of lists of structs only the smallest field is read.
        """
        leaf = self._smallest_leaf(column)
        for _, value in self._values(column, [leaf], range(start, stop), _IDS_AT_ONCE):
            yield len(_items(value))

    def kept(
        self, columns: Sequence[Column | None], rows: Collection[int]
    ) -> dict[int, tuple[Any, ...]]:
        """Read columns at some rows; row -> its values, None behind a damaged page."""
        found: dict[int, list[Any]] = {row: [None] * len(columns) for row in rows}
        for place, column in enumerate(columns):
            if column is None:
                continue
            try:
                for row, value in self._values(column, [column], found.keys(), _IDS_AT_ONCE):
                    found[row][place] = _python_value(value)
            except (pa.ArrowException, OSError):
                continue
        return {row: tuple(values) for row, values in found.items()}

    def texts(self, column: Column, start: int, stop: int) -> Iterator[str | None]:
        """Read a column of ids or URLs as text; see `id_text`."""
        for _, value in self._values(column, [column], range(start, stop), _IDS_AT_ONCE):
            yield id_text(_python_value(value))

    def _values(
        self, column: Column, leaves: Sequence[Column], rows: Collection[int], batch_size: int
    ) -> Iterator[tuple[int, pa.Scalar]]:
        """Read what a column has at some rows; of a struct only some leaves."""
        if not rows:
            return
        groups = [
            group
            for group in self._groups(min(rows), max(rows) + 1)
            if any(row in rows for row in range(self._edges[group], self._edges[group + 1]))
        ]
        numbers = chain.from_iterable(range(self._edges[g], self._edges[g + 1]) for g in groups)
        last = max(rows)
        for batch in self._batches(column, leaves, groups, batch_size):
            for row, value in zip(islice(numbers, len(batch)), batch, strict=True):
                if row in rows:
                    yield row, value
                if row == last:
                    return

    def _batches(
        self, column: Column, leaves: Sequence[Column], groups: Sequence[int], batch_size: int
    ) -> Iterator[pa.Array]:
        top, *inner = column
        num_bytes = sum(self._column_bytes(group, (top,)) for group in groups)
        is_small = num_bytes <= _MAX_BUFFERED_BYTES
        with pq.ParquetFile(
            self.file,
            metadata=self.metadata,
            pre_buffer=is_small,
            buffer_size=0 if is_small else _STREAM_BYTES,
        ) as file:
            names = [".".join(leaf) for leaf in leaves]
            batches = file.iter_batches(batch_size, groups, columns=names, use_threads=False)
            for batch in batches:
                values = batch.column(top)
                yield pc.struct_field(values, inner) if inner else values

    def _smallest_leaf(self, column: Column) -> Column:
        """Name the smallest of what a column consists of."""
        if not self.metadata.num_row_groups:
            return column
        group = self.metadata.row_group(0)
        leaves = [group.column(index) for index in range(group.num_columns)]
        name = f"{'.'.join(column)}."
        inside = [leaf for leaf in leaves if leaf.path_in_schema.startswith(name)]
        return (min(inside, key=lambda leaf: leaf.total_compressed_size).path_in_schema,)

    def _groups(self, start: int, stop: int) -> list[int]:
        edges = enumerate(pairwise(self._edges))
        return [group for group, (first, last) in edges if first < stop and last > start]

    def _column_bytes(self, group: int, column: Column) -> int:
        found = self.metadata.row_group(group)
        columns = (found.column(index) for index in range(found.num_columns))
        name = ".".join(column)
        return sum(
            chunk.total_compressed_size
            for chunk in columns
            if chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.")
        )


def _python_value(value: pa.Scalar) -> Any:
    if isinstance(value, pa.DictionaryScalar):
        value = value.value
    try:
        return value.as_py()
    except UnicodeDecodeError:  # Parquet promises that text is UTF-8, but nobody checks
        if not is_text(value.type):
            return None
        return value.as_buffer().to_pybytes().decode(errors="backslashreplace")


def _image(value: pa.Scalar | None) -> Any:
    """Give an image, or its URL or path: of a struct the first field that is not null."""
    if isinstance(value, pa.StructScalar):
        fields = (value[name] for name in ("bytes", "path") if name in value)
        parts = (_python_value(part) for part in fields if part.type != pa.null())
        return next((part for part in parts if part is not None), None)
    return None if value is None else _python_value(value)


def _items(value: pa.Scalar) -> Sequence[pa.Scalar]:
    return value.values if value.is_valid else ()


def _inside(item: pa.Scalar, names: Column) -> pa.Scalar | None:
    """Go from an item of a list to what it has under some names."""
    for name in names:
        if not item.is_valid:
            return None
        item = item[name]
    return item
