"""How rows become the bytes of a Parquet file."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ALONE: dict[str, Any] = {"pre_buffer": False}
"""For `pq.ParquetFile`, with `use_threads=False` for its reads: no thread of pyarrow is started.
pyarrow 26 aborts some processes that end with one; `pq.read_table` starts them in any case."""


def encode_table(table: pa.Table) -> bytes:
    """Encode rows so that the bytes depend on them alone, and on pyarrow's version.

    The version is part of the file (created_by); the settings are spelled out so that a change of
    pyarrow's defaults cannot change them.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **_WRITER, **_encodings(table.schema))
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Compress and give a dictionary to all but numbers with a fraction.

    Those would hardly become smaller, and `topk` would spend most of its time decoding them.
    """
    coded = [
        f"{field.name}.{child.name}" if pa.types.is_struct(field.type) else field.name
        for field in schema
        for child in (field.type if pa.types.is_struct(field.type) else [field])
        if not pa.types.is_floating(field.type)
    ]
    return {
        "use_dictionary": coded,
        "compression": dict.fromkeys(coded, "zstd"),
        "compression_level": dict.fromkeys(coded, 1),
    }


_WRITER: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "write_statistics": True,
    "row_group_size": 1 << 20,
    "store_schema": True,
}
