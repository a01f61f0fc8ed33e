"""Which columns of a Parquet file hold the images and their ids."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import pyarrow as pa

from iem_batch.errors import SourceError

Content = Literal["struct", "bytes", "url"]
"""What a column holds: struct<bytes, path> as Hugging Face has it, bytes, or URLs."""

URL_NAMES = ("url", "uri", "image_url", "image_uri")
"""Columns of text that are taken for URLs if no column holds images."""

PATH_NAMES = ("path", "image_path", "file_path", "filepath", "file_name", "filename", "image")
"""Those that are taken for paths if there are no URLs either."""

ID_NAME = "image_id"
"""The column that is taken for ids in each file that has it; others must be named in the URL."""

Column = tuple[str, ...]
"""A column, or the field of a struct in it: the names on the way there, any of them with dots."""


def find_column(schema: pa.Schema, name: str) -> Column:
    """Find a column, also inside structs, as in ``sample.photo``; names may hold dots themselves.

    Raises:
        SourceError: there is no such column, or there are several.
    """
    if schema.names.count(name) > 1:
        raise SourceError(f"{schema.names.count(name)} columns have the name {name}")
    column = _find(list(schema), name)
    if column is None:
        raise SourceError(f"there is no column {name}; the columns are {', '.join(schema.names)}")
    return column


def _find(fields: Iterable[pa.Field], name: str) -> Column | None:
    if any(field.name == name for field in fields):
        return (name,)
    for field in fields:
        if pa.types.is_struct(field.type) and name.startswith(f"{field.name}."):
            inner = _find(list(field.type), name.removeprefix(f"{field.name}."))
            if inner is not None:
                return (field.name, *inner)
    return None


def type_of(schema: pa.Schema, column: Column) -> pa.DataType:
    """Give the type of a column; of one that is encoded by a dictionary that of its values."""
    top, *inner = column
    kind = schema.field(top).type
    for name in inner:
        kind = kind.field(name).type
    return _plain(kind)


def content_of(schema: pa.Schema, name: str) -> Content:
    """Tell what a column holds.

    Raises:
        SourceError: there is no such column, or it holds nothing that could be images.
    """
    kind = type_of(schema, find_column(schema, name))
    content = _content(kind)
    if content is None:
        raise SourceError(
            f"the column {name} holds {kind}, not images: they are bytes, struct<bytes, path>, or "
            f"URLs as text"
        )
    return content


def find_image_column(schema: pa.Schema, place: str) -> str:
    """Choose the column of the images.

    It is the only one that holds images, or the one named ``image``; without any, the only one of
    text with a name of `URL_NAMES`, or without that of `PATH_NAMES`.

    Args:
        schema: of the file.
        place: where it lies, for the message.

    Raises:
        SourceError: there is none, or it is not clear which; the message lists all columns.
    """
    contents = {field.name: _content(_plain(field.type)) for field in schema}
    found = [name for name, content in contents.items() if content in ("struct", "bytes")]
    if "image" in found:
        return "image"
    texts = [name for name, content in contents.items() if content == "url"]
    for names in (URL_NAMES, PATH_NAMES):
        found = found or [name for name in texts if name.lower() in names]
    if len(found) == 1:
        return str(found[0])
    columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
    which = f"any of {', '.join(found)} could be" if found else "no column seems to hold"
    raise SourceError(
        f"{place}: {which} the images; name one as {place}#image=NAME. Columns: {columns}"
    )


def id_column(schema: pa.Schema, name: str) -> Column | None:
    """Find the column of ids; `ID_NAME` may be absent.

    Raises:
        SourceError: there is no such column, or it holds nothing that could be ids.
    """
    if name == ID_NAME and name not in schema.names:
        return None
    column = find_column(schema, name)
    kind = type_of(schema, column)
    if not _is_id(kind):
        raise SourceError(
            f"the column {name} holds {kind}; ids are text, bytes or numbers. #id=NAME takes "
            "another column, #id= the numbers of the rows"
        )
    return column


def id_text(value: object) -> str | None:
    """Give the id that a value of a column of ids stands for, whatever the type of the column.

    Text stays as it is; bytes are UTF-8, else hexadecimal after ``0x``; a number without a fraction
    is written as an integer, since pandas makes integers with gaps floating-point. NaN is null.
    """
    match value:
        case None | str():
            return value
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return f"0x{value.hex()}"
        case float() | Decimal() if value != value:
            return None
        case float() | Decimal() if value % 1 == 0:
            return str(int(value))
    return str(value)


def _content(kind: pa.DataType) -> Content | None:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return "struct" if index != -1 and _is_binary(kind.field(index).type) else None
    if _is_binary(kind):
        return "bytes"
    return "url" if is_text(kind) else None


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_binary(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_id(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):  # such as a UUID
        kind = kind.storage_type
    return bool(
        is_text(kind)
        or _is_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    )
