"""From a URL to the source that lies there."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from urllib.parse import unquote

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.folder import FolderSource
from iem_batch.sources.formats import Format, format_of, is_image_name
from iem_batch.sources.lmdb import DATA_FILE, LMDBSource, require_database
from iem_batch.sources.moved import MovedSource
from iem_batch.sources.names import ALL, Names
from iem_batch.sources.parquet import ParquetSource
from iem_batch.sources.parquet_columns import ID_NAME, content_of, find_image_column, id_column
from iem_batch.sources.pieces import Pieces, PiecesSource, is_private, no_columns
from iem_batch.sources.protocol import Source, without_format
from iem_batch.sources.tables import first_schema
from iem_batch.sources.tar import TarSource
from iem_batch.sources.text_rows import (
    MAX_JSON_BYTES,
    has_url,
    table_schema,
)
from iem_batch.sources.url_list import URLListSource
from iem_batch.sources.zip_archive import ZipSource
from iem_batch.storage.folder import Folder
from iem_batch.storage.settings import DEFAULTS, WebSettings
from iem_batch.storage.unpacked import codec_of
from iem_batch.storage.web import WebFile, is_web

TEXTS = ("urls", "csv", "jsonl")
FORMATS = ("folder", "tar", "zip", "parquet", "arrow", "lmdb", *TEXTS)

MAX_NAMES = 100_000
"""So many names of a folder tell its format."""

MAX_FILES_OPENED, MAX_OPENED_OF_EXTENSION = 64, 8
"""Files that are opened for it, of one extension; its others are taken for the same."""

_OPTION = r"(?:format|image|id|db|include|exclude|was)=[^&#]*"
_OPTIONS = re.compile(f"#({_OPTION}(?:&{_OPTION})*)$")


def open_source(
    url: str, web: WebSettings = DEFAULTS, names: Names = ALL, keep: Sequence[str] = ()
) -> Source:
    """Open a collection of images.

    Args:
        url: a folder or a file, local or on an object store, or a file on a web server. Its
            content tells the format. Options behind it override that: ``#format=tar``, for
            Parquet the columns, as in ``#image=sample.photo&id=name``, and for an LMDB with named
            databases ``#db=name``. In a name, ``%26`` is an ampersand and ``%23`` a hash. The
            places in ``was`` are those of `MovedSource`.
        web: how web servers are asked.
        names: the images that are taken; the URL says what this does not.
        keep: names of the columns that are read with the images, as `RawImage.kept`.

    Raises:
        SourceError: there is nothing there, nothing that this program can read, or no column.
    """
    found = _OPTIONS.search(url)
    pairs = (option.split("=", 1) for option in found[1].split("&")) if found else ()
    options = {name: unquote(value) for name, value in pairs}
    place = url[: found.start()] if found else url
    if (known := options.get("format", "tar")) not in FORMATS:
        raise SourceError(f"{url}: there is no format {known}; use {', '.join(FORMATS)}")
    include, exclude = options.get("include"), options.get("exclude")
    taken = Names(names.include or include, names.exclude or exclude)
    try:
        source = _open(place, options, web, taken, tuple(keep))
    except (StorageError, FileNotFoundError) as error:
        raise SourceError(str(error)) from error
    if keep and not isinstance(source, PiecesSource):
        raise no_columns(without_format(source.url))
    return MovedSource(source, tuple(options["was"].split("\n"))) if "was" in options else source


def _open(
    place: str, options: dict[str, str], web: WebSettings, names: Names, keep: tuple[str, ...]
) -> Source:
    if is_web(place):
        pieces = Pieces(WebFile(place, web), is_single=True, names=names, keep=keep)
        return _open_file(pieces, options, web)
    folder = Folder(place)
    if options.get("format") == "folder":
        return FolderSource(folder, names)
    kind = folder.kind()
    if kind == "absent":
        raise SourceError(f"{folder.url} does not exist")
    pieces = Pieces(folder, is_single=kind == "file", names=names, keep=keep)
    return (_open_file if pieces.is_single else _open_folder)(pieces, options, web)


def _open_folder(pieces: Pieces, options: dict[str, str], web: WebSettings) -> Source:
    folder = pieces.folder
    assert isinstance(folder, Folder)
    kind = options.get("format") or _format_of_folder(folder)
    if kind in TEXTS:
        raise SourceError(f"{folder.url} is a folder; give the list itself")
    return _open_archive(pieces, kind, options, web) or FolderSource(folder, pieces.names)


def _open_file(pieces: Pieces, options: dict[str, str], web: WebSettings) -> Source:
    file, given = pieces.folder, options.get("format")
    head = pieces.head("")
    if (codec := codec_of(head)) is not None:
        head = pieces.head("", codec)
        if not head:
            raise SourceError(f"{file.url} begins as {codec}, but cannot be unpacked")
    kind = given or format_of(head)
    if source := _open_archive(pieces, kind, options, web):
        return source
    if kind in ("image", "folder"):
        raise SourceError(f"{file.url} is one file; give the folder that holds the images")
    if kind == "packed":
        raise SourceError(
            f"{file.url} is packed in a way that is not read; unpack it, a tar to a plain .tar"
        )
    return _open_text(pieces, kind, codec, options, web)


def _open_archive(
    pieces: Pieces, kind: str | None, options: dict[str, str], web: WebSettings
) -> Source | None:
    """Open what holds many images in a file, however few files; None for any other format."""
    match kind:
        case "tar":
            return TarSource(pieces)
        case "zip":
            return ZipSource(pieces)
        case "parquet":
            return _table(pieces, kind, options, web)
        case "arrow":
            _require_local(pieces, "an Arrow file")
            return _table(pieces, kind, options, web)
        case "lmdb":
            url = pieces.folder.url
            _require_local(pieces, "an LMDB")
            return LMDBSource(url, require_database(url, options.get("db")), pieces.names)
    return None


def _require_local(pieces: Pieces, what: str) -> None:
    if not pieces.folder.is_local:
        raise SourceError(
            f"{pieces.folder.url}: {what} is read through memory, so it must lie on a local disk; "
            "copy it to one, or make shards of it where it is local: iem-batch convert SOURCE OUT "
            "--to parquet"
        )


def _open_text(
    pieces: Pieces, kind: str | None, codec: str | None, options: dict[str, str], web: WebSettings
) -> Source:
    """Open a list: of URLs, or a table with a column of them."""
    url, image = pieces.folder.url, options.get("image")
    if kind in ("csv", "jsonl") and image is not None and "id" in options:
        return URLListSource(pieces, web, kind, image, options["id"] or None)
    head = pieces.head("", codec, MAX_JSON_BYTES)
    text = head.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    is_comment = not first and "\0" not in text and text.startswith("#")
    if kind == "urls" or kind is None and (is_comment or has_url(first)):
        return URLListSource(pieces, web)
    name = url.lower().rpartition("/")[2]
    is_promised = kind or image or any(end in name for end in (".csv", ".tsv", ".jsonl"))
    try:
        if kind == "jsonl" or (kind is None and first.startswith("{")):
            kind = "jsonl"
        schema = table_schema(head, kind := kind or "csv")
        image, image_id = _columns(schema, options, url)
    except SourceError as error:
        if is_promised:
            raise SourceError(f"{url}: {str(error).removeprefix(f'{url}: ')}") from error
        raise SourceError(
            f"{url} is neither tar, zip, Parquet, LMDB nor a list of URLs or paths; it begins with "
            f"{head[:16]!r}"
        ) from error
    has_id = image_id is not None and id_column(schema, image_id) is not None
    return URLListSource(pieces, web, kind, image, image_id if has_id else None)


def _table(pieces: Pieces, kind: str, options: dict[str, str], web: WebSettings) -> Source:
    if "image" in options and "id" in options:
        return ParquetSource(pieces, options["image"], options["id"] or None, web, kind)
    columns = _columns(first_schema(pieces, kind), options, pieces.folder.url)
    return ParquetSource(pieces, *columns, web, kind)


def _columns(schema: pa.Schema, options: dict[str, str], place: str) -> tuple[str, str | None]:
    """Choose the columns of the images and of their ids, which need not be there."""
    image = options.get("image") or find_image_column(schema, place)
    content_of(schema, image)
    image_id = options.get("id", ID_NAME) or None
    if image_id is not None:
        id_column(schema, image_id)
    return image, image_id


def _format_of_folder(folder: Folder) -> str:
    """Tell what most of the files are; a folder of anything else is taken for images."""
    if folder.kind(DATA_FILE) == "file":
        return "lmdb"
    counts = _count_formats(Pieces(folder, is_single=False))
    if not counts:
        return "folder"
    kind, count = counts.most_common(1)[0]
    if list(counts.values()).count(count) > 1:
        raise SourceError(
            f"{folder.url} holds files of several formats ({', '.join(counts)}); say which to take "
            f"as {folder.url}#format={kind.replace('image', 'folder').replace('packed', 'tar')}"
        )
    return {"image": "folder", "packed": "tar"}.get(kind, kind)


def _count_formats(pieces: Pieces) -> Counter[str]:
    """Count the files of each format, but for tables that describe the archive beside them."""
    counts: Counter[str] = Counter()
    stems: dict[str, list[str]] = defaultdict(list)
    found: dict[str, Counter[Format | None]] = defaultdict(Counter)
    files = (file for file in pieces.files() if file.num_bytes and not is_private(file.name))
    for file in islice(files, MAX_NAMES):
        # Images are chosen by their names, so there is no need to open them.
        if is_image_name(file.name):
            counts["image"] += 1
            continue
        stem, extension = os.path.splitext(file.name)
        stems[extension].append(stem.removesuffix(".tar"))
        num_opened = sum(kinds.total() for kinds in found.values())
        if num_opened < MAX_FILES_OPENED and len(stems[extension]) <= MAX_OPENED_OF_EXTENSION:
            found[extension][format_of(pieces.head(file.name))] += 1
    of_kind: dict[str | None, list[str]] = defaultdict(list)
    for extension, kinds in found.items():
        of_kind[kinds.most_common(1)[0][0]] += stems[extension]
    archives = {*of_kind["tar"], *of_kind["zip"], *of_kind["packed"]}
    of_kind["parquet"] = [stem for stem in of_kind["parquet"] if stem not in archives]
    counts.update(
        {kind: len(of_kind[kind]) for kind in ("image", "tar", "zip", "parquet", "arrow", "packed")}
    )
    return +counts
