"""A source that has moved since it was planned: entries name its pieces by where they lay."""

from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from urllib.parse import quote, unquote

import pyarrow as pa

from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    Source,
    UnreadableImage,
    without_format,
)
from iem_batch.storage.folder import Folder
from iem_batch.storage.web import is_web

_OPTION = "&was="


@dataclass(frozen=True)
class MovedSource:
    """Reads entries that were planned elsewhere, and says of images where they lay then.

    So rows have the same URI whether they are made before the move or behind it.

    Args:
        source: the collection where it lies now.
        was: the places where it lay before, as `place_of` gives them.
    """

    source: Source
    was: tuple[str, ...]

    @property
    def url(self) -> str:
        """As that of `source`, with the places before."""
        return f"{self.source.url}{_OPTION}{quote(chr(10).join(self.was))}"

    @property
    def exact_bytes(self) -> bool:
        """As `Source.exact_bytes`."""
        return self.source.exact_bytes

    @property
    def kept(self) -> pa.Schema:
        """As `Source.kept`."""
        return self.source.kept

    def fingerprint(self) -> str | None:
        """As `Source.fingerprint`, which no move changes."""
        return self.source.fingerprint()

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List what there is now, by where it lies now."""
        return self.source.entries(max_images)

    def here(self, uri: str) -> str:
        """Tell where a piece lies now, from where it was planned."""
        for place in self.was:
            if uri == place or uri.startswith(f"{place}/"):
                return self._place + uri[len(place) :]
        return uri

    @cached_property
    def _place(self) -> str:
        return place_of(self.source.url)

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range of a piece; see `Reader`."""
        here = self.here(entry.uri)
        for item in self.source.read(replace(entry, uri=here), wanted):
            behind = item.uri.removeprefix(here)
            yield item if behind == item.uri else replace(item, uri=entry.uri + behind)


def place_of(url: str) -> str:
    """Give what the URIs of a source's pieces begin with: a path, or a URL without options."""
    place = without_format(url)
    return (place if is_web(place) else Folder(place).url_of("")).rstrip("/")


def without_was(url: str) -> str:
    """Strip from a `Source.url` where the source lay before."""
    return url.partition(_OPTION)[0]


def places_before(url: str) -> tuple[str, ...]:
    """Give all places where a source has lain, by its `Source.url`, the one it names last."""
    was = unquote(url.partition(_OPTION)[2])
    return (*filter(None, was.split("\n")), place_of(url))
