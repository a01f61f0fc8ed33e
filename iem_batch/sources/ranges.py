"""The images of a piece, one after another: put into entries, and read by these."""

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    duplicate_image,
)
from iem_batch.sources.repeats import Listed


class Member(Protocol):
    """A member of an archive."""

    @property
    def name(self) -> str:
        """Its path in the archive, for a label only."""


M = TypeVar("M", bound=Member)


class Span(NamedTuple):
    """Where an image lies in a piece."""

    offset: int
    """First byte."""
    end: int
    """One past the last."""
    image_id: str
    joins: bool = False
    """Whether it must be read with the image before it."""


def list_ranges(
    uri: str,
    found: Iterable[Span | IgnoredFile],
    max_images: int,
    sized: bool = True,
    codec: str | None = None,
    problem: str | None = None,
) -> Iterator[Listed]:
    """Put the images of a piece that follow one another into entries.

    Args:
        uri: the piece.
        found: what is in it, in order.
        max_images: images in an entry, at most, but for those that must be read together.
        sized: whether the bytes are those of the images; else `Entry.num_bytes` is 0.
        codec: as in `Entry`.
        problem: why not all could be read, if so; it counts as one image more.
    """
    start, spans = 0, list[Span]()

    def listed() -> Listed:
        offset, end = spans[0].offset, spans[-1].end
        entry = Entry(
            uri=uri,
            start=start,
            stop=start + len(spans),
            num_bytes=end - offset if sized else 0,
            offset=offset,
            end=end,
            codec=codec,
        )
        return Listed(entry, [span.image_id for span in spans])

    for item in found:
        if isinstance(item, IgnoredFile):
            yield Listed(item)
            continue
        if len(spans) >= max_images and not item.joins:
            yield listed()
            start, spans = start + len(spans), []
        spans.append(item)
    if spans:
        yield listed()
    if problem is not None:
        start += len(spans)
        yield Listed(Entry(uri=uri, start=start, stop=start + 1, num_bytes=0, problem=problem))


def read_members(
    entry: Entry,
    taken: Iterable[tuple[M, str]],
    wanted: Container[str] | None,
    image: Callable[[M, str, str], RawImage | UnreadableImage],
) -> Iterator[RawImage | UnreadableImage]:
    """Give the images of a range of an archive.

    Args:
        entry: the range.
        taken: the members from its first on that are images, with their ids.
        wanted: as in `Reader.read`.
        image: reads a member, of this id and URI.

    Raises:
        SourceError: the archive has fewer of them than were planned.
    """
    last = None if entry.count == "estimated" else entry.stop - entry.start
    index, seen = entry.start, set[str]()
    for index, (member, image_id) in enumerate(islice(taken, last), entry.start + 1):
        if wanted is not None and image_id not in wanted:
            continue
        uri = f"{entry.uri}#{member.name}"
        is_repeat = index - 1 in entry.repeats or image_id in seen
        if entry.count != "exact":
            seen.add(image_id)
        if not is_repeat:
            yield image(member, image_id, uri)
        elif wanted is None:
            yield duplicate_image(image_id, uri)
    if entry.count == "exact" and index != entry.stop:
        raise changed_error(entry.uri)
