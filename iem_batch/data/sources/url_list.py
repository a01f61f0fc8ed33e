"""A text file of URLs, one in a line, as a source."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial

from iem_batch.data.sources.fetch import Request, fetch
from iem_batch.data.sources.pieces import Pieces
from iem_batch.data.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate,
)
from iem_batch.data.sources.repeats import Listed
from iem_batch.data.storage import FoundFile

MAX_LINE_BYTES = 1 << 16
"""A line of more bytes than this is no URL."""


@dataclass(frozen=True)
class URLListSource:
    """Images at the URLs of a text file; an image's id is its URL.

    Blank lines and those that begin with ``#`` are left out. A line that is no URL becomes a row in
    quarantine. Only a local list may hold local paths.

    Args:
        pieces: the list, as the only piece.
    """

    pieces: Pieces

    @property
    def url(self) -> str:
        """Where the list lies."""
        return f"{self.pieces.folder.url}#format=urls"

    @property
    def exact_bytes(self) -> bool:
        """The sizes of the images are not known before they are read."""
        return False

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List ranges of lines; no URL is opened.

        Raises:
            SourceError: the list cannot be read.
        """
        return self.pieces.entries(partial(self._ranges, max_images=max_images))

    def _ranges(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        assert file.num_bytes is not None
        uri = self.pieces.uri(file.name)
        index, offset, urls = 0, 0, list[str]()
        for start, stop, url in self._lines(0, file.num_bytes):
            if not urls:
                offset = start
            urls.append(url)
            end = stop
            if len(urls) == max_images:
                yield _listed(uri, index, urls, offset, end)
                index, urls = index + len(urls), []
        if urls:
            yield _listed(uri, index, urls, offset, end)

    def _lines(self, start: int, stop: int) -> Iterator[tuple[int, int, str]]:
        """Iterate over the lines that hold a URL: first byte, one past the last, and the URL."""
        with self.pieces.open("", start, stop) as file:
            while line := file.readline(MAX_LINE_BYTES):
                first, start = start, start + len(line)
                url = line.strip().decode(errors="backslashreplace").removeprefix("\ufeff")
                if url and not url.startswith("#"):
                    yield first, start, url

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
        lines = enumerate(self._lines(entry.offset, entry.end), entry.start)
        urls = {index: url for index, (_, _, url) in lines}
        if len(urls) < entry.stop - entry.start:
            raise changed_error(entry.uri)
        repeats = frozenset(entry.repeats)
        urls = {index: url for index, url in urls.items() if index < entry.stop}
        if wanted is None:
            yield from (duplicate(urls[index], entry.uri) for index in sorted(repeats))
        requests = (
            Request(url, entry.uri, url)
            for index, url in urls.items()
            if index not in repeats and (wanted is None or url in wanted)
        )
        yield from fetch(requests, self.pieces.folder.is_local)


def _listed(uri: str, index: int, urls: list[str], offset: int, end: int) -> Listed:
    entry = Entry(uri=uri, start=index, stop=index + len(urls), num_bytes=0, offset=offset, end=end)
    return Listed(entry, urls)
