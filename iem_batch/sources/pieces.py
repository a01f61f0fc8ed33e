"""The files a source of archives or tables is made of: one file, or those of a folder tree."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources.formats import HEAD_BYTES, is_hidden
from iem_batch.sources.protocol import Entry, IgnoredFile, UnreadableImage, gone
from iem_batch.sources.repeats import Listed, mark_repeats
from iem_batch.storage.folder import Folder, FoundFile
from iem_batch.storage.read_ahead import read_ahead
from iem_batch.storage.web import WebFile

T = TypeVar("T")

NUM_THREADS = 8
"""Pieces that are looked into at a time while a source is listed."""

RANGES_AHEAD = 8
"""Ranges handed over at once: each has the ids of its images with it."""

REMOTE_BLOCK_BYTES = 8 << 20
"""So much is asked of a remote store at once, at least."""

LOCAL_BLOCK_BYTES = 256 << 10


@dataclass(frozen=True)
class Pieces:
    """The pieces of a source, named by their path below the folder.

    Args:
        folder: the folder; or the only piece itself, whose name is empty then.
        is_single: whether it is the only piece.
    """

    folder: Folder | WebFile
    is_single: bool

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
            yield from mark_repeats(read_ahead(parts, NUM_THREADS, RANGES_AHEAD))
        except (StorageError, FileNotFoundError) as error:
            raise SourceError(f"cannot list {self.folder.url}: {error}") from error

    def _look(
        self, look: Callable[[FoundFile], Iterable[Listed]], file: FoundFile
    ) -> Iterable[Listed]:
        if file.num_bytes is None or is_private(file.name):
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

    def head(self, name: str) -> bytes:
        """Read the first bytes of a piece, which tell its format."""
        return self.folder.read_range(name, 0, HEAD_BYTES)

    def open(self, name: str, start: int, stop: int, block_bytes: int = 0) -> io.BufferedReader:
        """Open the bytes start..stop-1 of a piece as a file that reads in large blocks.

        Args:
            name: of the piece.
            start: first byte.
            stop: one past the last.
            block_bytes: size of a block; 0 takes that of the store.
        """
        block = LOCAL_BLOCK_BYTES if self.folder.is_local else REMOTE_BLOCK_BYTES
        return io.BufferedReader(_Window(self.folder, name, start, stop), block_bytes or block)

    def whole(self, name: str, size: int) -> str | io.RawIOBase:
        """Give a piece to a library that reads files itself: its path, or one request a read."""
        if isinstance(self.folder, Folder) and self.folder.is_local:
            return self.folder.url_of(name)
        return _Window(self.folder, name, 0, size)

    def unreadable(self, entry: Entry) -> UnreadableImage:
        """Make the item for a piece with a problem."""
        assert entry.problem is not None
        name = self.name(entry.uri) or entry.uri.rpartition("/")[2]
        return UnreadableImage(
            image_id=name, uri=entry.uri, reason="unreadable", message=entry.problem
        )

    def misfit(self, file: FoundFile, extensions: tuple[str, ...], problem: str) -> Listed:
        """Judge a piece of another format: a problem if its name or the user says it is one."""
        if self.is_single or file.name.lower().endswith(extensions):
            return Listed(self.entry_of_problem(file, problem))
        return Listed(IgnoredFile(uri=self.uri(file.name)))

    def entry_of_problem(self, file: FoundFile, problem: str) -> Entry:
        """Make the entry of a piece that cannot be read."""
        num_bytes = file.num_bytes or 0
        uri = self.uri(file.name)
        return Entry(uri=uri, start=0, stop=1, num_bytes=num_bytes, problem=problem)


def name_below(folder: Folder | WebFile, uri: str) -> str:
    """Give the name in a folder from what `Folder.url_of` made of it."""
    return uri.removeprefix(folder.url_of("*")[:-1])


def is_private(name: str) -> bool:
    """Tell whether a piece is hidden, or below a folder of a program's own files (_x)."""
    return is_hidden(name) or any(part.startswith("_") for part in name.split("/"))


class _Window(io.RawIOBase):
    """A range of a file on any storage; each read of a remote one is one request."""

    def __init__(self, folder: Folder | WebFile, name: str, start: int, stop: int) -> None:
        super().__init__()
        self._folder, self._name = folder, name
        self._start, self._size = start, stop - start
        self._position = 0
        self._file: Any = None
        if isinstance(folder, Folder) and folder.is_local:
            with self._explained():
                self._file = folder.open(name)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        first = self._start + self._position
        with self._explained():
            if self._file is not None:
                self._file.seek(first)
                count: int = self._file.readinto(memoryview(buffer)[:wanted])
            else:
                data = self._folder.read_range(self._name, first, first + wanted)
                count = len(data)
                buffer[:count] = data
        self._position += count
        return count

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        uri = self._folder.url_of(self._name)
        try:
            yield
        except FileNotFoundError as error:
            raise gone(uri) from error
        except OSError as error:
            raise StorageError(f"cannot read {uri}: {error.strerror or error}") from error
