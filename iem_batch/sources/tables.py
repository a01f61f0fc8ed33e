"""Opening the files of a source of Parquet or Arrow files."""

import pyarrow as pa

from iem_batch.errors import SourceError
from iem_batch.sources.arrow_table import ArrowTable
from iem_batch.sources.formats import format_of
from iem_batch.sources.parquet_table import ParquetTable
from iem_batch.sources.pieces import Pieces, is_private


def open_table(pieces: Pieces, name: str, size: int, kind: str) -> ParquetTable:
    """Open a piece of so many bytes, ``parquet`` or ``arrow``; see `ParquetTable`."""
    whole = pieces.whole(name, size)
    if kind == "parquet":
        return ParquetTable(whole)
    assert isinstance(whole, str)
    return ArrowTable(whole)


def first_schema(pieces: Pieces, kind: str) -> pa.Schema:
    """Read the schema of the first file that has one.

    Raises:
        SourceError: none has.
    """
    why = f"it holds no file of {kind.capitalize()}"
    for file in pieces.files():
        if file.num_bytes is None or is_private(file.name):
            continue
        if format_of(pieces.head(file.name)) != kind:
            continue
        try:
            return open_table(pieces, file.name, file.num_bytes, kind).schema
        except (pa.ArrowException, OSError) as error:
            why = f"{file.name or 'it'} cannot be read: {' '.join(str(error).split())}"
    raise SourceError(f"{pieces.folder.url}: {why}")
