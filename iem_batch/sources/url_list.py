"""A text file of URLs or paths as a source: one in a line, or a table as CSV, TSV or JSON Lines."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from iem_batch.sources import text_rows
from iem_batch.sources.fetch import Request, fetch
from iem_batch.sources.parquet_columns import find_column
from iem_batch.sources.pieces import PiecesSource, no_columns
from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate_image,
)
from iem_batch.sources.ranges import Span, list_ranges
from iem_batch.sources.repeats import Listed
from iem_batch.sources.text_rows import (
    MAX_JSON_BYTES,
    MAX_LINE_BYTES,
    Row,
    read_header,
    table_schema,
)
from iem_batch.storage.folder import FoundFile
from iem_batch.storage.settings import DEFAULTS, WebSettings
from iem_batch.storage.unpacked import codec_of


@dataclass(frozen=True)
class URLListSource(PiecesSource):
    """Images at the URLs of a text file, which may be packed; an image's id is its URL.

    In a table the id is that in a column of ids; where that has none the URL, and without that the
    place of the row in bytes, after ``#``. In a plain list with tabs the first field that is a URL
    counts, such as that beside a caption; blank lines and those that begin with ``#`` are left out.
    A line that is no URL becomes a row in quarantine. Only a local list may hold local paths, those
    of images also from its folder on.

    Args:
        pieces: the list, as the only piece.
        web: how web servers are asked.
        kind: ``urls`` (one in a line), ``csv`` (TSV too) or ``jsonl``.
        image: of a table the column of URLs or paths.
        id: of a table the column of ids; None if there is none.
    """

    exact_bytes: ClassVar[bool] = False
    """The sizes of the images are not known before they are read."""

    web: WebSettings = DEFAULTS
    kind: str = "urls"
    image: str = ""
    id: str | None = None

    @property
    def url(self) -> str:
        """Where the list lies, and the columns of a table."""
        if self.kind == "urls":
            return self.pieces.url("urls")
        return self.pieces.url(self.kind, image=self.image, id=self.id or "")

    def _require(self, keep: Sequence[str]) -> None:
        if self.kind == "urls":
            raise no_columns(self.pieces.folder.url)
        head = self.pieces.head("", codec_of(self.pieces.head("")), MAX_JSON_BYTES)
        for name in keep:
            find_column(table_schema(head, self.kind), name)

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        assert file.num_bytes is not None
        codec, problem = codec_of(self.pieces.head("")), None
        size = file.num_bytes
        if codec is not None:
            size, problem = self.pieces.unpacked_size("", codec)
        uri, names = self.pieces.uri(file.name), self.pieces.names
        found = (
            Span(row.offset, row.end, image_id, row.joins)
            if (image_id := _image_id(row)) in names
            else IgnoredFile(uri=f"{uri}#{image_id}")
            for row in self._rows(0, size, codec)
        )
        return list_ranges(uri, found, max_images, False, codec, problem)

    def _rows(self, start: int, stop: int, codec: str | None) -> Iterator[Row]:
        """Iterate over the rows of a range of bytes."""
        columns = self.image, self.id, self.pieces.keep
        if self.kind == "csv":
            header = read_header(self.pieces.head("", codec, MAX_LINE_BYTES))
            if not {self.image, self.id or self.image, *self.pieces.keep} <= {*header.names}:
                raise changed_error(self.pieces.uri(""))
            start = max(start, header.end)
        with self.pieces.open("", start, stop, codec=codec) as file:
            if self.kind == "csv":
                yield from text_rows.csv_rows(file, start, header, *columns)
            elif self.kind == "jsonl":
                yield from text_rows.json_rows(file, start, *columns)
            else:
                yield from text_rows.url_rows(file, start)

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        assert entry.offset is not None
        assert entry.end is not None
        found = ((row, _image_id(row)) for row in self._rows(entry.offset, entry.end, entry.codec))
        taken = (pair for pair in found if pair[1] in self.pieces.names)
        rows = dict(zip(range(entry.start, entry.stop), taken, strict=False))
        if len(rows) < entry.stop - entry.start:
            raise changed_error(entry.uri)
        repeats = frozenset(entry.repeats)
        if wanted is None:
            yield from (duplicate_image(rows[index][1], entry.uri) for index in sorted(repeats))
        requests = (
            Request(image_id, entry.uri, f"{entry.uri}#{row.offset}", row.image)
            for index, (row, image_id) in rows.items()
            if index not in repeats and (wanted is None or image_id in wanted)
        )
        fetched = fetch(requests, self.pieces.folder.is_local, self.web)
        if not self.pieces.keep:
            yield from fetched
            return
        kept = {rows[i][1]: rows[i][0].kept for i in rows if i not in repeats}
        for item in fetched:
            if isinstance(item, RawImage):
                item = replace(item, kept=kept[item.image_id])
            yield item


def _image_id(row: Row) -> str:
    if row.image_id is not None:
        return row.image_id
    return row.image if isinstance(row.image, str) else f"#{row.offset}"
