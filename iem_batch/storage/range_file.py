"""A file on any storage, read by ranges."""

import io

from iem_batch.storage.folder import Folder


class RangeFile(io.RawIOBase):
    """A stored file of which each read is one request for just these bytes; nothing is cached.

    Args:
        folder: where it lies.
        name: its name in there.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: anything else went wrong.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder, self._name = folder, name
        self._size, self._position = folder.size(name), 0

    def seekable(self) -> bool:
        """Tell that any place can be read."""
        return True

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def tell(self) -> int:
        """Give the place of the next byte to be read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to another place."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = origin[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read at most so many bytes, all that are left if `size` is negative."""
        stop = self._size if size < 0 else min(self._position + size, self._size)
        if stop <= self._position:
            return b""
        data = self._folder.read_range(self._name, self._position, stop)
        self._position = stop
        return data
