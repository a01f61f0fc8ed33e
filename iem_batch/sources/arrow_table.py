"""Reading ranges of rows of one Arrow file, as `save_to_disk` of Hugging Face `datasets` writes."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.sources.parquet_columns import Column
from iem_batch.sources.parquet_table import ParquetTable


class ArrowTable(ParquetTable):
    """An open file of Arrow's IPC, a stream or with an index; a record batch is a row group.

    It is mapped into memory, so that only what is asked for is read.

    Args:
        file: its path.

    Raises:
        pyarrow.ArrowException: it is no such file, or cut.
        OSError: it cannot be read.
    """

    def __init__(self, file: str) -> None:
        with pa.memory_map(file) as mapped:
            if mapped.read(6) == b"ARROW1":
                indexed = pa.ipc.open_file(mapped)
                self.schema = indexed.schema
                numbers = range(indexed.num_record_batches)
                self._found = [indexed.get_batch(number) for number in numbers]
            else:
                mapped.seek(0)
                stream = pa.ipc.open_stream(mapped)
                self.schema, self._found = stream.schema, list(stream)
        self._edges = list(accumulate((len(batch) for batch in self._found), initial=0))

    def _batches(
        self, column: Column, leaves: Sequence[Column], groups: Sequence[int], batch_size: int
    ) -> Iterator[pa.Array]:
        for group in groups:
            values = self._array(group, column)
            values.validate(full=True)  # Arrow trusts the places that a file gives
            yield values

    def _smallest_leaf(self, column: Column) -> Column:
        return column

    def _column_bytes(self, group: int, column: Column) -> int:
        num_bytes: int = self._array(group, column).nbytes
        return num_bytes

    def _array(self, group: int, column: Column) -> pa.Array:
        top, *inner = column
        values = self._found[group].column(top)
        return pc.struct_field(values, inner) if inner else values
