"""Rows of a text file, each with its place in it: lines of URLs, CSV or TSV, and JSON Lines.

No row costs another one: a line that is cut, or a quote that is never closed, is one row without
an image.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from iem_batch.errors import SourceError
from iem_batch.sources.parquet_columns import id_text

MAX_LINE_BYTES = 1 << 16
"""A URL, or a record of CSV, has at most so many bytes."""

MAX_JSON_BYTES = 1 << 20
"""So many has a line of JSON."""

MAX_SAMPLED_ROWS = 100
"""Rows that tell the columns of JSON Lines."""

_URL = re.compile(r"(?:\w+://|/)[^\x00-\x20]")
_BOM = "\ufeff"


class Row(NamedTuple):
    """A row of a text file."""

    offset: int
    """First byte."""
    end: int
    """One past the last."""
    image: object
    """The URL or path of its image, if it has one."""
    image_id: str | None
    """Its id, if it has one."""
    kept: tuple[str | None, ...] = ()
    """What it has in the columns that are kept, as text."""
    joins: bool = False
    """Whether it is not the first image of its line."""


def url_in(line: str) -> str:
    """Give the field of a line that is a URL or a local path; all of the line if none is."""
    return next((field for field in line.split("\t") if _URL.match(field)), line)


def has_url(line: str) -> bool:
    """Tell whether a field of a line is a URL or a local path."""
    return _URL.match(url_in(line)) is not None


def url_rows(file: io.BufferedIOBase, start: int) -> Iterator[Row]:
    """Give the URLs of a text file, one in a line; blank lines and comments are left out.

    Args:
        file: where it is to begin.
        start: the place of that in the whole file.
    """
    for first, stop, line in _lines(file, start, MAX_LINE_BYTES):
        text = line.strip().removeprefix(_BOM)
        if text and not text.startswith("#"):
            yield Row(first, stop, url_in(text), url_in(text))


@dataclass(frozen=True)
class Header:
    """The first line of a CSV or TSV file.

    Args:
        names: of the columns.
        delimiter: between them: a tab, comma or semicolon, whichever it has most of.
        end: where the rows begin.
    """

    names: tuple[str, ...]
    delimiter: str
    end: int


def read_header(head: bytes) -> Header:
    """Read the header of a CSV or TSV file.

    Args:
        head: the first bytes of the file, at least `MAX_LINE_BYTES` if it has so many.
    """
    for first, _, line in _lines(io.BytesIO(head), 0, MAX_LINE_BYTES):
        text = line.removeprefix(_BOM)
        if text.strip():
            delimiter = max("\t,;", key=text.count)
            file = io.BytesIO(head[first:])
            end, fields = _record(file, first, delimiter)
            names = [name.removeprefix(_BOM).strip() for name in fields or [text.strip()]]
            return Header(tuple(names), delimiter, end)
    raise SourceError("it is empty")


def csv_rows(
    file: io.BufferedIOBase,
    start: int,
    header: Header,
    image: str,
    image_id: str | None,
    keep: Sequence[str] = (),
) -> Iterator[Row]:
    """Give the rows of a CSV or TSV file.

    A field of CSV may be quoted, and then hold line ends; in TSV a quote is a character like any.

    Args:
        file: where it is to begin: behind the header, where a row begins.
        start: the place of that in the whole file.
        header: of the file.
        image: the column of URLs or paths.
        image_id: the column of ids; None if there is none.
        keep: columns that are kept.
    """
    kept_at = [header.names.index(name) for name in keep]
    at = header.names.index(image)
    id_at = None if image_id is None else header.names.index(image_id)
    while True:
        end, fields = _record(file, start, header.delimiter)
        if end == start:
            return
        if fields is None or any(field.strip() for field in fields):
            has = dict(enumerate(fields or ()))
            own = None if id_at is None else has.get(id_at)
            kept = tuple(map(has.get, kept_at))
            yield Row(start, end, has.get(at, "").strip() or None, own or None, kept)
        start = end


def json_rows(
    file: io.BufferedIOBase,
    start: int,
    image: str,
    image_id: str | None,
    keep: Sequence[str] = (),
) -> Iterator[Row]:
    """Give the rows of a file of JSON Lines; arguments as of `csv_rows`.

    Of a list each item is a row: its id is that of the line with ``/0``, ``/1``, ... behind it.
    """
    for first, stop, line in _lines(file, start, MAX_JSON_BYTES):
        if not line.strip():
            continue
        row = json_object(line)
        own = None if image_id is None else id_text(_value(row, image_id))
        kept = tuple(json_text(row, name) for name in keep)
        value = _value(row, image)
        if not isinstance(value, list) or not value:
            yield Row(first, stop, None if value == [] else value, own, kept)
            continue
        for place, item in enumerate(value):
            item_id = None if own is None else f"{own}/{place}"
            yield Row(first, stop, item, item_id, kept, joins=place > 0)


def json_text(row: object, name: str) -> str | None:
    """Give what an object of JSON has under a name: text as it is, all else as JSON."""
    value = _value(row, name)
    return value if value is None or isinstance(value, str) else json.dumps(value)


def table_schema(head: bytes, kind: str) -> pa.Schema:
    """Tell the columns of a file of ``csv`` or ``jsonl``; those of CSV are text.

    Args:
        head: the first bytes of the file, at least `MAX_JSON_BYTES` if it has so many.
        kind: its format.

    Raises:
        SourceError: it has none.
    """
    if kind == "jsonl":
        return json_schema(head)
    return pa.schema([(name, pa.string()) for name in read_header(head).names])


def json_schema(head: bytes) -> pa.Schema:
    """Tell the columns of a file of JSON Lines by its first rows.

    Args:
        head: the first bytes of the file, at least `MAX_JSON_BYTES` if it has so many.

    Raises:
        SourceError: its first line is no JSON object.
    """
    found: dict[str, Any] = {}
    lines = _lines(io.BytesIO(head), 0, MAX_JSON_BYTES)
    for number, (_, _, line) in enumerate(lines):
        row = json_object(line)
        if number and (row is None or number == MAX_SAMPLED_ROWS):
            break
        if row is None:
            raise SourceError("it begins as JSON, but its first line is no object of JSON")
        found |= {name: value for name, value in row.items() if found.get(name) is None}
    return pa.schema([(name, _type(value)) for name, value in found.items()])


def _type(value: object) -> pa.DataType:
    try:
        return pa.array([value]).type
    except (pa.ArrowException, OverflowError):  # a list of this and that, or a huge number
        return pa.null()


def _value(row: Any, name: str) -> Any:
    """Give what a row has under a name, also inside objects, as in ``sample.photo``."""
    if isinstance(row, list):
        return [_value(item, name) for item in row]
    if not isinstance(row, dict):
        return None
    if isinstance(text := row.get(name), str):  # JSON can escape what is no character
        return text.encode(errors="backslashreplace").decode()
    if name in row:
        return row[name]
    for key, inner in row.items():
        if name.startswith(f"{key}."):
            found = _value(inner, name[len(key) + 1 :])
            if found is not None:
                return found
    return None


def json_object(line: str) -> dict[str, Any] | None:
    """Read an object of JSON; None if it is none."""
    try:
        row = json.loads(line.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _record(file: io.BufferedIOBase, start: int, delimiter: str) -> tuple[int, list[str] | None]:
    """Read a record of CSV; gives its end, and None for one that is no record."""
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    end, first_end = start, start

    def lines() -> Iterator[str]:
        nonlocal end, first_end
        for _, stop, line in _lines(file, start, MAX_LINE_BYTES):
            end = stop
            first_end = first_end if first_end > start else stop
            yield line
            if end - start > MAX_LINE_BYTES:
                break
        if end > start:
            raise csv.Error("a quote that is not closed")

    try:
        fields = next(csv.reader(lines(), delimiter=delimiter, quoting=quoting), [])
    except csv.Error:
        file.seek(first_end - end, io.SEEK_CUR)
        return first_end, None
    return end, fields


def _lines(file: io.BufferedIOBase, start: int, max_bytes: int) -> Iterator[tuple[int, int, str]]:
    """Give the lines with their places; of one that is too long its beginning."""
    while line := file.readline(max_bytes):
        first, start = start, start + len(line)
        part = line
        while len(part) == max_bytes and not part.endswith(b"\n"):
            part = file.readline(max_bytes)
            start += len(part)
        yield first, start, line.decode(errors="backslashreplace")
