"""Reading ranges of rows of one Parquet file, of the needed columns alone."""

import io
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from iem_batch.sources.parquet_columns import Column, id_text, is_text, type_of

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

    def images(self, column: Column, rows: Collection[int]) -> Iterator[tuple[int, Any]]:
        """Read a column of images or URLs at some rows; row groups without any are not read.

        Args:
            column: the column; of a struct the field ``bytes``, and where that is null ``path``.
            rows: the numbers of the rows.

        Yields:
            The number of a row and its value, in order: bytes, text or None.
        """
        kind = type_of(self.schema, column)
        if not pa.types.is_struct(kind):
            for row, value in self._values(column, [column], rows, IMAGES_AT_ONCE):
                yield row, _python_value(value)
            return
        index = kind.get_field_index("path")
        fields = ["bytes", "path"] if index != -1 and is_text(kind.field(index).type) else ["bytes"]
        leaves = [(*column, field) for field in fields]
        for row, value in self._values(column, leaves, rows, IMAGES_AT_ONCE):
            found = (_python_value(value[field]) for field in fields)
            yield row, next((part for part in found if part is not None), None)

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
        return value.as_buffer().to_pybytes().decode(errors="backslashreplace")
