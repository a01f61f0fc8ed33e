"""Tar archives as a source: one, or those of a folder tree, as WebDataset has them."""

import io
import tarfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from iem_batch.errors import SourceError
from iem_batch.sources.formats import format_of
from iem_batch.sources.pieces import LINK_TO_NOTHING, PiecesSource, is_private
from iem_batch.sources.protocol import Entry, IgnoredFile, RawImage, UnreadableImage
from iem_batch.sources.ranges import Span, list_ranges, read_members
from iem_batch.sources.repeats import Listed
from iem_batch.sources.tar_members import Member, TarReader
from iem_batch.sources.tar_samples import kept_texts, names_beside, with_texts
from iem_batch.storage.folder import FoundFile
from iem_batch.storage.unpacked import codec_of

SAMPLE_BYTES = 1 << 20
"""So much of a remote archive is read to estimate how many images it holds."""

_EXTENSIONS = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class TarSource(PiecesSource):
    """Images in tar archives; an image's id is its path in the archive.

    If there are several archives, the path of the archive comes first. A member is an image if
    its name or its first bytes say so. Planning looks through all headers, but not through remote
    archives that seem to hold no more images than an entry may: those are read whole anyway.

    Of a packed archive planning unpacks all twice, and each process that reads of it all before
    the last image it reads once.
    """

    exact_bytes: ClassVar[bool] = True
    """The sizes are those of the ranges of the archives."""

    @property
    def url(self) -> str:
        """Where the archives lie."""
        return self.pieces.url("tar")

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        if file.num_bytes is None:
            yield self.pieces.wrong_format(file, _EXTENSIONS, LINK_TO_NOTHING)
            return
        head = self.pieces.head(file.name)
        codec = codec_of(head)
        if codec is not None:
            head = self.pieces.head(file.name, codec)
        if format_of(head) != "tar" and (any(head) or not head):
            problem = "it does not begin as a tar archive"
            if codec is not None and not head:
                problem = f"it begins as {codec}, but cannot be unpacked"
            elif format_of(head) == "packed":
                problem = "it is packed in a way that is not read; unpack it to a plain .tar"
            yield self.pieces.wrong_format(file, _EXTENSIONS, problem)
            return
        if codec is not None:
            size, damage = self.pieces.unpacked_size(file.name, codec)
            yield from self._indexed(file.name, size, max_images, codec, damage)
            return
        estimate = self._estimate(file.name, file.num_bytes)
        if estimate is not None and estimate <= max_images:
            yield Listed(
                Entry(
                    uri=self.pieces.uri(file.name),
                    start=0,
                    stop=estimate,
                    num_bytes=file.num_bytes,
                    count="estimated",
                    offset=0,
                    end=file.num_bytes,
                )
            )
            return
        yield from self._indexed(file.name, file.num_bytes, max_images)

    def _estimate(self, name: str, size: int) -> int | None:
        """Guess the number of images of a remote archive; None where looking costs no more."""
        if self.pieces.folder.is_local or size <= 2 * SAMPLE_BYTES:
            return None
        with self.pieces.open(name, 0, SAMPLE_BYTES, SAMPLE_BYTES) as file:
            found = self._members(TarReader(file, SAMPLE_BYTES), name)
            num_images = sum(image_id is not None for _, image_id in found) - 1
        return max(1, round(num_images * size / SAMPLE_BYTES))

    def _indexed(
        self,
        name: str,
        size: int,
        max_images: int,
        codec: str | None = None,
        problem: str | None = None,
    ) -> Iterator[Listed]:
        uri = self.pieces.uri(name)
        with self.pieces.open(name, 0, size, codec=codec) as file:
            found = (
                Span(member.offset, member.end, image_id, member.joins)
                if image_id is not None
                else IgnoredFile(uri=f"{uri}#{member.name}")
                for member, image_id in self._members(TarReader(file, size), name)
            )
            yield from list_ranges(uri, found, max_images, codec=codec, problem=problem)

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        assert entry.offset is not None
        assert entry.end is not None
        name = self.pieces.name(entry.uri)
        with self.pieces.open(name, entry.offset, entry.end, codec=entry.codec) as file:
            reader = TarReader(file, entry.end - entry.offset, entry.offset)
            found = self._members(reader, name)
            taken = ((member, image_id) for member, image_id in found if image_id is not None)
            read = partial(_image, reader, self.pieces.keep)
            yield from read_members(entry, taken, wanted, read)

    def _require(self, keep: Sequence[str]) -> None:
        """Look for what is kept beside the images that the first archive begins with."""
        for file in self.pieces.files():
            head = b"" if file.num_bytes is None else self._beginning(file.name)
            if is_private(file.name) or format_of(head) != "tar":
                continue
            reader = TarReader(io.BufferedReader(io.BytesIO(head)), len(head))
            members = [member for member, _ in self._members(reader, file.name)]
            names = dict.fromkeys(
                name for member in members for name in names_beside(reader, member.beside or {})
            )
            missing = [name for name in keep if name not in names]
            if missing:
                there = f"there are {', '.join(names)}" if names else "there is nothing"
                raise SourceError(
                    f"{self.pieces.uri(file.name)}: there is no {missing[0]} beside the images; "
                    + there
                )
            return

    def _beginning(self, name: str) -> bytes:
        return self.pieces.head(name, codec_of(self.pieces.head(name)), SAMPLE_BYTES)

    def _members(self, reader: TarReader, name: str) -> Iterator[tuple[Member, str | None]]:
        """Iterate over the members, with the ids of those taken.

        Where something is kept that lies beside these, it comes with them.
        """
        found = self._all_members(reader, name)
        return with_texts(found) if self.pieces.keep else found

    def _all_members(self, reader: TarReader, name: str) -> Iterator[tuple[Member, str | None]]:
        """Iterate over the members; a damaged place is always taken, whatever was there."""
        for member in reader.members():
            image_id = self._image_id(name, member)
            is_image = member.reason != ""
            is_taken = is_image and (not member.name or image_id in self.pieces.names)
            yield member, image_id if is_taken else None

    def _image_id(self, name: str, member: Member) -> str:
        if member.image_id is not None:
            return member.image_id
        if not member.name:
            label = name or self.pieces.folder.url.rpartition("/")[2]
            return f"{label}#{member.offset}"
        return self.pieces.image_id(name, member.name, "/")


def _image(
    reader: TarReader, keep: Sequence[str], member: Member, image_id: str, uri: str
) -> RawImage | UnreadableImage:
    reason, message = member.reason, member.message
    if reason is None:
        try:
            data, kept = reader.data(member), kept_texts(reader, member.beside or {}, keep)
            return RawImage(image_id=image_id, uri=uri, data=data, kept=kept)
        except tarfile.TarError as error:
            reason, message = "truncated", str(error)
    return UnreadableImage(image_id=image_id, uri=uri, reason=reason, message=message)
