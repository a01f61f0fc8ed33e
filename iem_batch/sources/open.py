"""From a URL to the source that lies there."""

import os
import re
from collections import Counter, defaultdict
from itertools import islice
from urllib.parse import unquote

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.folder import FolderSource
from iem_batch.sources.formats import Format, format_of, is_image_name
from iem_batch.sources.lmdb import DATA_FILE, LMDBSource, require_database
from iem_batch.sources.names import ALL, Names
from iem_batch.sources.parquet import ParquetSource
from iem_batch.sources.parquet_columns import ID_NAME, content_of, find_image_column, id_column
from iem_batch.sources.parquet_table import ParquetTable
from iem_batch.sources.pieces import Pieces, is_private
from iem_batch.sources.protocol import Source
from iem_batch.sources.tar import TarSource
from iem_batch.sources.url_list import URLListSource, has_url
from iem_batch.storage.folder import Folder
from iem_batch.storage.settings import DEFAULTS, WebSettings
from iem_batch.storage.web import WebFile, is_web

FORMATS = ("folder", "tar", "parquet", "lmdb", "urls")

MAX_NAMES = 100_000
"""So many names of a folder tell its format."""

MAX_FILES_OPENED, MAX_OPENED_OF_EXTENSION = 64, 8
"""Files that are opened for it, of one extension; its others are taken for the same."""

_OPTION = r"(?:format|image|id|db|include|exclude)=[^&#]*"
_OPTIONS = re.compile(f"#({_OPTION}(?:&{_OPTION})*)$")

_LMDB_IS_LOCAL = (
    "an LMDB is read through memory, so it must lie on a local disk; copy it to one, or make "
    "shards of it where it is local: iem-batch convert LMDB OUT --to parquet"
)


def open_source(url: str, web: WebSettings = DEFAULTS, names: Names = ALL) -> Source:
    """Open a collection of images.

    Args:
        url: a folder or a file, local or on an object store, or a file on a web server. Its
            content tells the format. Options behind it override that: ``#format=tar``, for
            Parquet the columns, as in ``#image=sample.photo&id=name``, and for an LMDB with named
            databases ``#db=name``. In a name, ``%26`` is an ampersand and ``%23`` a hash.
        web: how web servers are asked.
        names: the images that are taken; the URL says what this does not.

    Raises:
        SourceError: there is nothing there, or nothing that this program can read.
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
        if is_web(place):
            pieces = Pieces(WebFile(place, web), is_single=True, names=taken)
            return _open_file(pieces, options, web)
        folder = Folder(place)
        if options.get("format") == "folder":
            return FolderSource(folder, taken)
        kind = folder.kind()
        if kind == "absent":
            raise SourceError(f"{folder.url} does not exist")
        pieces = Pieces(folder, is_single=kind == "file", names=taken)
        return (_open_file if pieces.is_single else _open_folder)(pieces, options, web)
    except (StorageError, FileNotFoundError) as error:
        raise SourceError(str(error)) from error


def _open_folder(pieces: Pieces, options: dict[str, str], web: WebSettings) -> Source:
    folder = pieces.folder
    assert isinstance(folder, Folder)
    kind = options.get("format") or _format_of_folder(folder)
    if kind == "urls":
        raise SourceError(f"{folder.url} is a folder; give the list of URLs itself")
    return _open_archive(pieces, kind, options, web) or FolderSource(folder, pieces.names)


def _open_file(pieces: Pieces, options: dict[str, str], web: WebSettings) -> Source:
    file, given = pieces.folder, options.get("format")
    head = b"" if given else pieces.head("")
    kind = given or format_of(head)
    if source := _open_archive(pieces, kind, options, web):
        return source
    if kind in ("image", "folder"):
        raise SourceError(f"{file.url} is one file; give the folder that holds the images")
    if kind == "packed":
        raise SourceError(
            f"{file.url} is compressed, so images in it cannot be reached without unpacking "
            "all before them; unpack it, a tar to a plain .tar"
        )
    if given == "urls" or _begins_with_url(head):
        return URLListSource(pieces, web)
    raise SourceError(
        f"{file.url} is neither tar, Parquet, LMDB nor a list of URLs; it begins with {head[:16]!r}"
    )


def _open_archive(
    pieces: Pieces, kind: str | None, options: dict[str, str], web: WebSettings
) -> Source | None:
    """Open what holds many images in a file, however few files; None for any other format."""
    match kind:
        case "tar":
            return TarSource(pieces)
        case "parquet":
            return _parquet(pieces, options, web)
        case "lmdb":
            url = pieces.folder.url
            if not pieces.folder.is_local:
                raise SourceError(f"{url}: {_LMDB_IS_LOCAL}")
            return LMDBSource(url, require_database(url, options.get("db")), pieces.names)
    return None


def _begins_with_url(head: bytes) -> bool:
    """Tell whether a text has a URL or a local path where its first line is that is not blank."""
    text = head.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    is_comment = not first and "\0" not in text and text.startswith("#")
    return is_comment or has_url(first)


def _parquet(pieces: Pieces, options: dict[str, str], web: WebSettings) -> Source:
    image, image_id = options.get("image"), options.get("id", ID_NAME)
    if "image" not in options or "id" not in options:
        schema = _first_schema(pieces)
        image = image or find_image_column(schema, pieces.folder.url)
        content_of(schema, image)
        if image_id:
            id_column(schema, image_id)
    assert image is not None
    return ParquetSource(pieces, image, image_id or None, web)


def _first_schema(pieces: Pieces) -> pa.Schema:
    """Read the schema of the first file that has one."""
    why = "it holds no Parquet file"
    for file in pieces.files():
        if file.num_bytes is None or is_private(file.name):
            continue
        if format_of(pieces.head(file.name)) != "parquet":
            continue
        try:
            return ParquetTable(pieces.whole(file.name, file.num_bytes)).schema
        except (pa.ArrowException, OSError) as error:
            why = f"{file.name or 'it'} cannot be read: {' '.join(str(error).split())}"
    raise SourceError(f"{pieces.folder.url}: {why}")


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
    archives = {*of_kind["tar"], *of_kind["packed"]}
    of_kind["parquet"] = [stem for stem in of_kind["parquet"] if stem not in archives]
    counts.update({kind: len(of_kind[kind]) for kind in ("image", "tar", "parquet", "packed")})
    return +counts
