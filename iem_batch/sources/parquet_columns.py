"""Which columns of a Parquet file hold the images and their ids."""

from typing import Literal

import pyarrow as pa

from iem_batch.errors import SourceError

Content = Literal["struct", "bytes", "url"]
"""What a column holds: struct<bytes, path> as Hugging Face has it, bytes, or URLs."""

URL_NAMES = ("url", "uri", "image_url", "image_uri")
"""Columns of text that are taken for URLs if no column holds images."""

ID_NAME = "image_id"
"""The column that is taken for ids if it is there; others must be named in the URL."""


def content_of(schema: pa.Schema, column: str) -> Content:
    """Tell what a column holds.

    Raises:
        SourceError: there is no such column, or it holds nothing that could be images.
    """
    content = _content(_type_of(schema, column))
    if content is None:
        raise SourceError(
            f"the column {column} holds {_type_of(schema, column)}, not images: they are bytes, "
            f"struct<bytes, path>, or URLs as text"
        )
    return content


def find_image_column(schema: pa.Schema, place: str) -> str:
    """Choose the column of the images.

    It is the only one that holds images, or the one named ``image``; without any, the only one of
    text with a name of `URL_NAMES`.

    Args:
        schema: of the file.
        place: where it lies, for the message.

    Raises:
        SourceError: there is none, or it is not clear which; the message lists all columns.
    """
    contents = {field.name: _content(field.type) for field in schema}
    found = [name for name, content in contents.items() if content in ("struct", "bytes")]
    if "image" in found:
        return "image"
    texts = [name for name, content in contents.items() if content == "url"]
    found = found or [name for name in texts if name.lower() in URL_NAMES]
    if len(found) == 1:
        return str(found[0])
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    which = f"any of {', '.join(found)} could be" if found else "no column seems to hold"
    raise SourceError(
        f"{place}: {which} the images; name one as {place}#image=NAME. Columns: {columns}"
    )


def find_id_column(schema: pa.Schema) -> str | None:
    """Give the column of ids if it has the agreed name."""
    index = schema.get_field_index(ID_NAME)
    return ID_NAME if index != -1 and _is_id(schema.field(index).type) else None


def require_id_column(schema: pa.Schema, column: str) -> None:
    """Check that a column can be ids.

    Raises:
        SourceError: there is no such column, or it is neither text nor integers.
    """
    kind = _type_of(schema, column)
    if not _is_id(kind):
        raise SourceError(f"the column {column} holds {kind}; ids are text or integers")


def _content(kind: pa.DataType) -> Content | None:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return "struct" if index != -1 and _is_binary(kind.field(index).type) else None
    if _is_binary(kind):
        return "bytes"
    return "url" if _is_text(kind) else None


def _type_of(schema: pa.Schema, column: str) -> pa.DataType:
    """Find a column, also inside a struct, as in ``image.path``."""
    name, *inner = column.split(".") if schema.get_field_index(column) == -1 else [column]
    index = schema.get_field_index(name)
    if index != -1:
        kind = schema.field(index).type
        if not inner:
            return kind
        if pa.types.is_struct(kind) and kind.get_field_index(inner[0]) != -1:
            return kind.field(inner[0]).type
    raise SourceError(f"there is no column {column}; the columns are {', '.join(schema.names)}")


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_id(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind))
