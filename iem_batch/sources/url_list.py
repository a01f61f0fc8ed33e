"""A text file of URLs, one in a line, as a source."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from iem_batch.sources.fetch import Request, fetch
from iem_batch.sources.pieces import PiecesSource, Span, list_ranges
from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate_image,
)
from iem_batch.sources.repeats import Listed
from iem_batch.storage.folder import FoundFile
from iem_batch.storage.settings import DEFAULTS, WebSettings

MAX_LINE_BYTES = 1 << 16
"""A line of more bytes than this is no URL."""


_URL = re.compile(r"(?:\w+://|/)[^\x00-\x20]")


def url_in(line: str) -> str:
    """Give the field of a line that is a URL or a local path; all of the line if none is."""
    return next((field for field in line.split("\t") if _URL.match(field)), line)


def has_url(line: str) -> bool:
    """Tell whether a field of a line is a URL or a local path."""
    return _URL.match(url_in(line)) is not None


@dataclass(frozen=True)
class URLListSource(PiecesSource):
    """Images at the URLs of a text file; an image's id is its URL.

    In a line with tabs the first field that is a URL counts, such as that beside a caption. Blank
    lines and those that begin with ``#`` are left out. A line that is no URL becomes a row in
    quarantine. Only a local list may hold local paths.

    Args:
        pieces: the list, as the only piece.
        web: how web servers are asked.
    """

    exact_bytes: ClassVar[bool] = False
    """The sizes of the images are not known before they are read."""

    web: WebSettings = DEFAULTS

    @property
    def url(self) -> str:
        """Where the list lies."""
        return self.pieces.url("urls")

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List ranges of lines; no URL is opened.

        Raises:
            SourceError: the list cannot be read.
        """
        return self.pieces.entries(partial(self._ranges, max_images=max_images))

    def _ranges(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        assert file.num_bytes is not None
        uri, names = self.pieces.uri(file.name), self.pieces.names
        found = (
            line if line.image_id in names else IgnoredFile(uri=f"{uri}#{line.image_id}")
            for line in self._lines(0, file.num_bytes)
        )
        return list_ranges(uri, found, max_images, sized=False)

    def _lines(self, start: int, stop: int) -> Iterator[Span]:
        """Iterate over the lines that hold a URL, which is the id."""
        with self.pieces.open("", start, stop) as file:
            while line := file.readline(MAX_LINE_BYTES):
                first, start = start, start + len(line)
                text = line.strip().decode(errors="backslashreplace").removeprefix("\ufeff")
                if text and not text.startswith("#"):
                    yield Span(first, start, url_in(text))

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read the images of a range of lines, several at a time.

        Raises:
            StorageError: the list cannot be read, or no URL of many can be reached; try again.
            SourceError: the list has vanished or is not what was planned.
        """
        assert entry.offset is not None
        assert entry.end is not None
        found = (line.image_id for line in self._lines(entry.offset, entry.end))
        taken = (url for url in found if url in self.pieces.names)
        urls = dict(enumerate(taken, entry.start))
        if len(urls) < entry.stop - entry.start:
            raise changed_error(entry.uri)
        repeats = frozenset(entry.repeats)
        urls = {index: url for index, url in urls.items() if index < entry.stop}
        if wanted is None:
            yield from (duplicate_image(urls[index], entry.uri) for index in sorted(repeats))
        requests = (
            Request(url, entry.uri, url)
            for index, url in urls.items()
            if index not in repeats and (wanted is None or url in wanted)
        )
        yield from fetch(requests, self.pieces.folder.is_local, self.web)
