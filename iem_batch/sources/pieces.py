"""The files a source of archives or tables is made of: one file, or those of a folder tree."""

import hashlib
import io
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.formats import HEAD_BYTES, is_hidden
from iem_batch.sources.names import ALL, Names
from iem_batch.sources.protocol import (
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    gone_error,
    source_url,
)
from iem_batch.sources.repeats import Listed, mark_repeats
from iem_batch.storage.folder import Folder, FoundFile
from iem_batch.storage.range_file import RangeFile, Ranges
from iem_batch.storage.read_ahead import LARGE_REQUESTS, read_ahead
from iem_batch.storage.unpacked import BLOCK_BYTES, Unpacked, unpacked
from iem_batch.storage.web import WebFile

RANGES_AHEAD = 8
"""Ranges handed over at once: each has the ids of its images with it."""

REMOTE_BLOCK_BYTES = 8 << 20
"""So much is asked of a remote store at once, at least."""

LOCAL_BLOCK_BYTES = 256 << 10

LINK_TO_NOTHING = "it is a link that leads nowhere"


@dataclass(frozen=True)
class Pieces:
    """The pieces of a source, named by their path below the folder.

    Args:
        folder: the folder; or the only piece itself, whose name is empty then.
        is_single: whether it is the only piece.
        names: the images in them that are taken.
        keep: names of the columns that are read with the images.
    """

    folder: Folder | WebFile
    is_single: bool
    names: Names = ALL
    keep: tuple[str, ...] = ()

    def url(self, kind: str, **options: str | None) -> str:
        """Give what `Source.url` gives; see `source_url`."""
        return source_url(self.folder.url, kind, self.names, **options)

    def entries(
        self, look: Callable[[FoundFile], Iterable[Listed]]
    ) -> Iterator[Entry | IgnoredFile]:
        """Look into all pieces that are not private, several at a time.

        Args:
            look: gives what is in a piece.

        Yields:
            What was found, in order of the names of the pieces, with repeated ids marked.

        Raises:
            SourceError: the source cannot be listed or read.
        """
        try:
            parts = (partial(self._look, look, file) for file in self.files())
            yield from mark_repeats(read_ahead(parts, LARGE_REQUESTS, RANGES_AHEAD))
        except (StorageError, FileNotFoundError) as error:
            raise SourceError(f"cannot list {self.folder.url}: {error}") from error

    def fingerprint(self) -> str:
        """Hash the names and sizes of all pieces.

        Raises:
            SourceError: the source cannot be listed.
        """
        digest = hashlib.sha256()
        try:
            for file in self.files():
                digest.update(f"{file.name!r} {file.num_bytes}\n".encode())
        except (StorageError, FileNotFoundError) as error:
            raise SourceError(f"cannot list {self.folder.url}: {error}") from error
        return digest.hexdigest()

    def _look(
        self, look: Callable[[FoundFile], Iterable[Listed]], file: FoundFile
    ) -> Iterable[Listed]:
        if is_private(file.name) or (file.num_bytes is None and not file.is_lost):
            return [Listed(IgnoredFile(uri=self.uri(file.name)))]
        return look(file)

    def files(self) -> Iterator[FoundFile]:
        """List all files there are, in order of their names.

        Raises:
            StorageError: the source cannot be listed.
        """
        if isinstance(self.folder, Folder) and not self.is_single:
            # What `convert` has of its own beside the shards.
            yield from (file for file in self.folder.walk() if not file.name.startswith("_run/"))
        else:
            yield FoundFile("", self.folder.size(""))

    def uri(self, name: str) -> str:
        """Say where a piece lies."""
        return self.folder.url_of(name)

    def name(self, uri: str) -> str:
        """Give the name of the piece that lies there."""
        return "" if self.is_single else name_below(self.folder, uri)

    def image_id(self, name: str, inner: str, separator: str) -> str:
        """Name an image by its name in its piece, and by the piece if there are several."""
        return inner if self.is_single else f"{name}{separator}{inner}"

    def head(self, name: str, codec: str | None = None, size: int = HEAD_BYTES) -> bytes:
        """Read the first bytes of a piece, or of what it unpacks to; they tell its format."""
        if codec is None:
            return self.folder.read_range(name, 0, size)
        with closing(Unpacked(self.folder, name, codec, BLOCK_BYTES)) as file:
            return file.read_range(name, 0, size)

    @contextmanager
    def open(
        self, name: str, start: int, stop: int, block_bytes: int = 0, codec: str | None = None
    ) -> Iterator[io.BufferedReader]:
        """Open the bytes start..stop-1 of a piece as a file that reads in large blocks.

        Args:
            name: of the piece.
            start: first byte.
            stop: one past the last.
            block_bytes: size of a block; 0 takes that of the store.
            codec: how the piece is packed; the bytes are those of what it unpacks to.

        Raises:
            StorageError: the store failed, there or while the file is read.
            SourceError: the piece has vanished, there or while the file is read.
        """
        block = LOCAL_BLOCK_BYTES if self.folder.is_local else REMOTE_BLOCK_BYTES
        try:
            with ExitStack() as stack:
                place: Ranges = self.folder
                if codec is not None:
                    place = stack.enter_context(unpacked(self.folder, name, codec, block))
                raw = RangeFile(place, name, start, stop)
                yield stack.enter_context(io.BufferedReader(raw, block_bytes or block))
        except FileNotFoundError as error:
            raise gone_error(self.uri(name)) from error

    def unpacked_size(self, name: str, codec: str) -> tuple[int, str | None]:
        """Give the bytes that a packed piece unpacks to, by doing it, and why there are no more.

        Raises:
            StorageError: the store failed.
        """
        with unpacked(self.folder, name, codec, REMOTE_BLOCK_BYTES) as file:
            return file.unpacked_size(), file.problem

    def whole(self, name: str, size: int) -> str | io.RawIOBase:
        """Give a piece to a library that reads files itself: its path, or one request a read."""
        if isinstance(self.folder, Folder) and self.folder.is_local:
            return self.folder.url_of(name)
        return RangeFile(self.folder, name, 0, size)

    def unreadable(self, entry: Entry) -> UnreadableImage:
        """Make the item for a piece with a problem."""
        assert entry.problem is not None
        name = self.name(entry.uri) or entry.uri.rpartition("/")[2]
        return UnreadableImage(
            image_id=name, uri=entry.uri, reason="unreadable", message=entry.problem
        )

    def wrong_format(self, file: FoundFile, extensions: tuple[str, ...], problem: str) -> Listed:
        """List a piece of another format: as a problem if its name or the user promised this one.

        Args:
            file: the piece.
            extensions: names of this format end so, in lower case.
            problem: what is wrong with it, for a person.
        """
        if self.is_single or file.name.lower().endswith(extensions):
            return Listed(self.entry_of_problem(file, problem))
        return Listed(IgnoredFile(uri=self.uri(file.name)))

    def entry_of_problem(self, file: FoundFile, problem: str, start: int = 0) -> Entry:
        """Make the entry of a piece that cannot be read, or not behind its first images."""
        num_bytes = file.num_bytes or 0
        uri = self.uri(file.name)
        return Entry(uri=uri, start=start, stop=start + 1, num_bytes=num_bytes, problem=problem)


@dataclass(frozen=True)
class PiecesSource:
    """What sources of pieces have in common; see `Source`.

    Args:
        pieces: the files.
    """

    pieces: Pieces

    @property
    def kept(self) -> pa.Schema:
        """The columns that are read with the images, as text; see `Source`."""
        keep = self.pieces.keep
        if keep:
            self._require(keep)
        return pa.schema([(name, pa.string()) for name in keep])

    def _require(self, keep: Sequence[str]) -> None:
        """Check that there are such columns.

        Raises:
            SourceError: there are none, or others.
        """
        raise no_columns(self.pieces.folder.url)

    def fingerprint(self) -> str:
        """As `Pieces.fingerprint`."""
        return self.pieces.fingerprint()

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List the pieces in order of their names, each cut into ranges; see `Source`."""
        return self.pieces.entries(partial(self._look, max_images=max_images))

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        """Give what is in a piece."""
        raise NotImplementedError

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range of a piece; see `Reader`."""
        if entry.problem is not None:
            yield self.pieces.unreadable(entry)
        else:
            yield from self._read(entry, wanted)

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range of a piece that can be read."""
        raise NotImplementedError


def no_columns(place: str) -> SourceError:
    """Make the error for a source that has nothing but images."""
    return SourceError(
        f"{place} has no columns; --keep takes those of Parquet, Arrow, CSV, TSV and JSON Lines, "
        "and what lies beside the images in tars, such as txt"
    )


def name_below(folder: Folder | WebFile, uri: str) -> str:
    """Give the name in a folder from what `Folder.url_of` made of it."""
    return uri.removeprefix(folder.url_of("*")[:-1])


def is_private(name: str) -> bool:
    """Tell whether a piece is hidden, or below a folder of a program's own files (_x)."""
    return is_hidden(name) or any(part.startswith("_") for part in name.split("/"))
