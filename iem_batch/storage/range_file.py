"""A range of a file on any storage, as a file of its own."""

import io
from typing import Any, Protocol

from iem_batch.errors import StorageError
from iem_batch.storage.folder import Folder


class Ranges(Protocol):
    """What can be read in ranges: a `Folder`, a `WebFile`, or a file that is unpacked."""

    def url_of(self, name: str) -> str:
        """Say where a file lies."""

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Read the bytes start..stop-1 of a file; fewer when it ends before."""


class RangeFile(io.RawIOBase):
    """The bytes start..stop-1 of a file; of a remote one each read is one request for just these.

    Args:
        folder: where the file lies.
        name: its name in there.
        start: first byte.
        stop: one past the last.

    Raises:
        FileNotFoundError: there is no such file; of a remote one only a read tells.
        StorageError: anything else went wrong.
    """

    def __init__(self, folder: Ranges, name: str, start: int, stop: int) -> None:
        super().__init__()
        self._folder, self._name = folder, name
        self._start, self._size = start, stop - start
        self._position = 0
        self._file: Any = None
        if isinstance(folder, Folder) and folder.is_local:
            self._file = folder.open(name)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that any place can be read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Give the place of the next byte to be read."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read into a buffer until it is full or the range ends."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        first = self._start + self._position
        if self._file is None:
            data = self._folder.read_range(self._name, first, first + wanted)
            count = len(data)
            buffer[:count] = data
        else:
            count = self._read_local(memoryview(buffer)[:wanted], first)
        self._position += count
        return count

    def _read_local(self, buffer: memoryview, first: int) -> int:
        try:
            self._file.seek(first)
            count: int = self._file.readinto(buffer)
        except OSError as error:
            uri = self._folder.url_of(self._name)
            raise StorageError(f"cannot read {uri}: {error.strerror or error}") from error
        return count

    def close(self) -> None:
        """Close the local file, if it is one."""
        if self._file is not None:
            self._file.close()
        super().close()
