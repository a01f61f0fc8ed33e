"""What a packed file holds, such as a .tar.gz: read from its beginning, as it has no index."""

import io
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from iem_batch.errors import IEMBatchError
from iem_batch.storage.folder import Folder
from iem_batch.storage.range_file import RangeFile
from iem_batch.storage.web import WebFile

CODECS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of a packed file -> its codec, as Arrow calls it."""

BLOCK_BYTES = 1 << 16
"""So much is unpacked at once. Before a damaged place up to a megabyte more is lost, in Arrow."""

KEPT_BLOCKS = 32
"""Blocks to which it can go back without beginning again."""

SMALL_BYTES, MAX_RATIO = 1 << 30, 250
"""A file that unpacks to more than both, the second times its size, is a bomb."""

_lock = threading.Lock()
_idle: dict[tuple[int, Folder | WebFile, str], "Unpacked"] = {}
"""The one that was used last, where it is: shards follow one another, so that a process unpacks a
file once, not once for each shard."""


def codec_of(head: bytes) -> str | None:
    """Tell how a file is packed by its first bytes; None if it is not."""
    return next((codec for magic, codec in CODECS.items() if head.startswith(magic)), None)


class Unpacked:
    """A packed file, unpacked; behind a damaged place it ends.

    Args:
        folder: where the file lies.
        name: its name in there.
        codec: how it is packed.
        block_bytes: so much of it is read at once.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: the store failed.
    """

    def __init__(self, folder: Folder | WebFile, name: str, codec: str, block_bytes: int) -> None:
        self.packed_bytes = size = folder.size(name)
        self._packed = folder, name, 0, size
        self._codec, self._block_bytes = codec, block_bytes
        self._stream: Any = None
        self._limit = max(SMALL_BYTES, MAX_RATIO * size)
        self._begin()

    def url_of(self, name: str) -> str:
        """Say where it lies."""
        return self._packed[0].url_of(name)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Read the bytes start..stop-1, fewer where it ends before or they are many.

        Raises:
            FileNotFoundError: the file is gone.
            StorageError: the store failed.
        """
        stop = min(stop, start + KEPT_BLOCKS * BLOCK_BYTES)
        if start < (self._blocks[0][0] if self._blocks else self._end):
            self._begin()
        while self._end < stop and self._unpack():
            at, block = self._blocks[0]
            if len(self._blocks) > KEPT_BLOCKS and at + len(block) <= start:
                self._blocks.popleft()
        parts = (block[max(0, start - at) : max(0, stop - at)] for at, block in self._blocks)
        return b"".join(parts)

    def unpacked_size(self) -> int:
        """Give the bytes that can be unpacked, by doing it."""
        while self._unpack():
            self._blocks.popleft()
        return self._end

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _begin(self) -> None:
        if self._stream is not None:
            self._stream.close()
        file = io.BufferedReader(RangeFile(*self._packed), self._block_bytes)
        self._stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), self._codec)
        self._blocks: deque[tuple[int, bytes]] = deque()
        self._end = 0
        self.problem: str | None = None
        """Why it ends where it does, if not by itself."""

    def _unpack(self) -> bool:
        """Unpack another block; tell whether there was one."""
        if self.problem is not None:
            return False
        if self._end > self._limit:
            self.problem = f"it unpacks to more than {MAX_RATIO} times its size"
            return False
        try:
            block: bytes = self._stream.read(BLOCK_BYTES)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError) as error:
            self.problem = f"it cannot be unpacked behind byte {self._end}: {error}"
            return False
        if block:
            self._blocks.append((self._end, block))
            self._end += len(block)
        return bool(block)


@contextmanager
def unpacked(
    folder: Folder | WebFile, name: str, codec: str, block_bytes: int
) -> Iterator[Unpacked]:
    """Open a packed file, where its last use in this process has ended if it was the last of any.

    Raises:
        FileNotFoundError: there is no such file, here or while it is read.
        StorageError: anything else went wrong, likewise.
    """
    key = os.getpid(), folder, name
    with _lock:
        file = _idle.pop(key, None)
    if file is not None and file.packed_bytes != folder.size(name):  # it has grown
        file.close()
        file = None
    if file is None:
        file = Unpacked(folder, name, codec, block_bytes)
    try:
        yield file
    except (IEMBatchError, OSError):  # nobody knows where the file is now
        file.close()
        raise
    except BaseException:  # such as that of a reader who wants no more
        _keep(key, file)
        raise
    _keep(key, file)


def _keep(key: tuple[int, Folder | WebFile, str], file: Unpacked) -> None:
    with _lock:
        others = [*_idle.values()]
        _idle.clear()
        _idle[key] = file
    for other in others:
        other.close()
