"""Which columns of a Parquet file hold the images, their ids, and what is kept beside them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa

from iem_batch.errors import SettingsError, SourceError

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

_FEATURES = b"huggingface"
"""Of the metadata of a schema: what Hugging Face `datasets` knows of the columns."""


def find_column(schema: pa.Schema, name: str, in_lists: bool = False) -> Column:
    """Find a column, also inside structs, as in ``sample.photo``; names may hold dots themselves.

    Args:
        schema: of the file.
        name: of the column.
        in_lists: whether the structs may be those of a list.

    Raises:
        SourceError: there is no such column, or there are several.
    """
    if schema.names.count(name) > 1:
        raise SourceError(f"{schema.names.count(name)} columns have the name {name}")
    column = _find(list(schema), name, in_lists)
    if column is None:
        raise SourceError(f"there is no column {name}; the columns are {', '.join(schema.names)}")
    return column


def _find(fields: Iterable[pa.Field], name: str, in_lists: bool) -> Column | None:
    if any(field.name == name for field in fields):
        return (name,)
    for field in fields:
        kind = _item(field.type) if in_lists else field.type
        if pa.types.is_struct(kind) and name.startswith(f"{field.name}."):
            inner = _find(list(kind), name.removeprefix(f"{field.name}."), in_lists)
            if inner is not None:
                return (field.name, *inner)
    return None


def type_of(schema: pa.Schema, column: Column) -> pa.DataType:
    """Give the type of a column; of one that is encoded by a dictionary that of its values."""
    top, *inner = column
    kind = schema.field(top).type
    for name in inner:
        kind = _item(kind).field(name).type
    return _plain(kind)


def split_at_list(schema: pa.Schema, column: Column) -> tuple[Column, Column | None]:
    """Cut a column of images behind the list on the way there.

    Returns:
        The column, or that of the list; what leads from an item of the list to the image, None if
        there is no list.
    """
    for stop in range(1, len(column) + 1):
        kind = type_of(schema, column[:stop])
        if _item(kind) != kind:
            return column[:stop], column[stop:]
    return column, None


def content_of(schema: pa.Schema, name: str) -> Content:
    """Tell what a column holds, or the lists in it.

    Raises:
        SourceError: there is no such column, or it holds nothing that could be images.
    """
    column = find_column(schema, name, in_lists=True)
    kind = type_of(schema, column)
    _, in_item = split_at_list(schema, column)
    content = _content(kind if in_item else _item(kind))
    if content is None:
        raise SourceError(
            f"the column {name} holds {kind}, not images: they are bytes, struct<bytes, path>, or "
            f"URLs as text, or lists of these"
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
    contents = {field.name: _content(_item(_plain(field.type))) for field in schema}
    found = [name for name, content in contents.items() if content in ("struct", "bytes")]
    if "image" in found:
        return "image"
    texts = dict.fromkeys(field.name for field in schema if is_text(_plain(field.type)))
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


def kept_schema(schema: pa.Schema, keep: Sequence[str]) -> pa.Schema:
    """Give the columns that are kept, with what Hugging Face `datasets` knows of them.

    Raises:
        SourceError: there is no such column.
    """
    fields = [pa.field(name, type_of(schema, find_column(schema, name))) for name in keep]
    known = features_of(schema)
    own = {name: known[name] for name in keep if name in known}
    return pa.schema(fields, metadata=features_metadata(own))


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Read what Hugging Face `datasets` knows of the columns of a table, by their names."""
    found = json.loads((schema.metadata or {}).get(_FEATURES, b"{}"))
    features: dict[str, Any] = found.get("info", {}).get("features", {})
    return features


def features_metadata(features: Mapping[str, Any]) -> dict[bytes | str, str]:
    """Make the metadata of a schema in which `features_of` finds these."""
    return {_FEATURES: json.dumps({"info": {"features": dict(features)}})}


def find_kept(schema: pa.Schema, keep: Sequence[str]) -> list[Column | None]:
    """Find the columns that are kept in a file; None where it lacks one."""
    return [_find(list(schema), name, in_lists=False) for name in keep]


def require_fit(own: pa.Schema, kept: pa.Schema, uri: str) -> None:
    """Check that what a file has in the kept columns fits their types; it may lack them.

    Raises:
        SettingsError: it has another type.
    """
    for field, column in zip(kept, find_kept(own, kept.names), strict=True):
        if column is None:
            continue
        kind = type_of(own, column)
        try:
            both = pa.unify_schemas(
                [pa.schema([field]), pa.schema([(field.name, kind)])], promote_options="permissive"
            )
            fits = both.field(0).type == field.type
        except pa.ArrowTypeError:
            fits = False
        if not fits:
            raise SettingsError(
                f"plan.keep: {field.name} is {kind} in {uri}, and {field.type} in the first file; "
                "give it one type, or leave it out"
            )


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


def _item(kind: pa.DataType) -> pa.DataType:
    """Give the type of what the lists of a column hold; of one without lists the type itself."""
    is_list = (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
    return _plain(kind.value_type) if is_list else kind


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
