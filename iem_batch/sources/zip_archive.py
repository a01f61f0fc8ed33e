"""Zip archives as a source: one, or those of a folder tree."""

import io
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from iem_batch.errors import ImageRejectedError, SourceError
from iem_batch.sources.formats import format_of
from iem_batch.sources.pieces import LINK_TO_NOTHING, PiecesSource
from iem_batch.sources.protocol import Entry, IgnoredFile, RawImage, UnreadableImage
from iem_batch.sources.ranges import Span, list_ranges, read_members
from iem_batch.sources.repeats import Listed
from iem_batch.sources.zip_members import ZipMember, data_of, find_directory, is_image, members
from iem_batch.storage.folder import FoundFile

_TO_ITS_END = 1 << 62
"""As a last byte: planning and reading must see the same, whatever a directory says."""


@dataclass(frozen=True)
class ZipSource(PiecesSource):
    """Images in zip archives; an image's id is its path in the archive.

    If there are several archives, the path of the archive comes first. A member is an image if its
    name says so, or where that has no extension, its first bytes. Planning reads the directories.
    """

    exact_bytes: ClassVar[bool] = False
    """An entry is a range of the directory."""

    @property
    def url(self) -> str:
        """Where the archives lie."""
        return self.pieces.url("zip")

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        if file.num_bytes is None:
            yield self.pieces.wrong_format(file, (".zip",), LINK_TO_NOTHING)
        elif format_of(self.pieces.head(file.name)) != "zip":
            yield self.pieces.wrong_format(file, (".zip",), "it does not begin as a zip archive")
        else:
            yield from self._ranges(file, file.num_bytes, max_images)

    def _ranges(self, file: FoundFile, size: int, max_images: int) -> Iterator[Listed]:
        name, uri = file.name, self.pieces.uri(file.name)
        try:
            with self.pieces.open(name, 0, size) as archive:
                start, stop = find_directory(archive, size)
        except SourceError as error:
            yield Listed(self.pieces.entry_of_problem(file, str(error)))
            return
        with self.pieces.open(name, 0, _TO_ITS_END) as archive:
            found = (
                Span(member.offset, member.end, image_id)
                if image_id is not None
                else IgnoredFile(uri=f"{uri}#{member.name}")
                for member, image_id in self._members(archive, name, start, stop)
            )
            yield from list_ranges(uri, found, max_images, sized=False)

    def _members(
        self, archive: io.BufferedReader, name: str, start: int, stop: int
    ) -> Iterator[tuple[ZipMember, str | None]]:
        """Iterate over the files in a range of a directory, with the ids of those taken."""
        with self.pieces.open(name, start, stop) as directory:
            for member in members(directory, start, stop):
                image_id = self.pieces.image_id(name, member.name, "/")
                if image_id in self.pieces.names and is_image(archive, member):
                    yield member, image_id
                elif not member.name.endswith("/"):
                    yield member, None

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        assert entry.offset is not None
        assert entry.end is not None
        name = self.pieces.name(entry.uri)
        with self.pieces.open(name, 0, _TO_ITS_END) as archive:
            found = self._members(archive, name, entry.offset, entry.end)
            taken = ((member, image_id) for member, image_id in found if image_id is not None)
            yield from read_members(entry, taken, wanted, partial(_image, archive))


def _image(
    archive: io.BufferedReader, member: ZipMember, image_id: str, uri: str
) -> RawImage | UnreadableImage:
    try:
        return RawImage(image_id=image_id, uri=uri, data=data_of(archive, member))
    except ImageRejectedError as error:
        return UnreadableImage(
            image_id=image_id, uri=uri, reason=error.reason, message=error.message
        )
