"""An LMDB of encoded images as a source, such as LSUN's."""

import os
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from iem_batch.checks import needs_extra
from iem_batch.errors import SourceError
from iem_batch.sources.names import ALL, Names
from iem_batch.sources.protocol import (
    NO_COLUMNS,
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    changed_error,
    source_url,
)

if TYPE_CHECKING:
    from lmdb import Environment, Transaction

DATA_FILE = "data.mdb"

MAX_DATABASES = 128
"""Named databases of one LMDB, at most; among so many first keys their names are looked for."""

_RECORD_BYTES = 48
"""Size of what the main database has under the name of another."""

KEYS_PER_MAPPING = 1_000_000
"""The map is closed and opened again after so many keys: pages that were read count as memory."""

_lock = threading.Lock()
_opened: dict[tuple[str, tuple[int, ...], int], "Environment"] = {}
"""The open database, if any; never more than one."""


@dataclass(frozen=True)
class LMDBSource:
    """Images in an LMDB, which must be local; an image's id is its key.

    A key that is not printable ASCII, or that begins with ``0x``, is given in hexadecimal after
    ``0x``. Planning reads keys alone.

    Args:
        path: the folder that holds ``data.mdb``, or the file itself.
        db: the named database in it that holds the images; None is the main one.
        names: the images in it that are taken.
    """

    exact_bytes: ClassVar[bool] = False
    """Sizes are shares of the file: values are not looked at."""

    kept: ClassVar = NO_COLUMNS

    path: str
    db: str | None = None
    names: Names = ALL

    @property
    def url(self) -> str:
        """Where the database lies."""
        return source_url(self.path, "lmdb", self.names, db=self.db)

    def fingerprint(self) -> str:
        """Give the number of keys and the size of the file.

        Raises:
            SourceError: the database cannot be read.
        """
        with _reading(self.path, self.db) as transaction:
            return f"{transaction.stat()['entries']} {os.path.getsize(_data_file(self.path))}"

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List ranges of keys, in the order of the keys.

        Raises:
            SourceError: the database cannot be read.
        """
        start, stop, first_key = 0, 0, b""
        bytes_per_image = self._bytes_per_image()
        for key in self._keys():
            if (image_id := _image_id(key)) not in self.names:
                yield IgnoredFile(uri=f"{self.path}#{image_id}")
                continue
            if stop - start == max_images:
                yield self._entry(start, stop, first_key, bytes_per_image)
                start = stop
            if stop == start:
                first_key = key
            stop += 1
        if stop > start:
            yield self._entry(start, stop, first_key, bytes_per_image)

    def _entry(self, start: int, stop: int, first_key: bytes, bytes_per_image: float) -> Entry:
        size = round((stop - start) * bytes_per_image)
        return Entry(uri=self.path, start=start, stop=stop, num_bytes=size, first_key=first_key)

    def _bytes_per_image(self) -> float:
        with _reading(self.path, self.db) as transaction:
            count = transaction.stat()["entries"]
        return os.path.getsize(_data_file(self.path)) / max(1, count)

    def _keys(self) -> Iterator[bytes]:
        key: bytes | memoryview | None = None
        while True:
            with _reading(self.path, self.db) as transaction, transaction.cursor() as cursor:
                found = cursor.first() if key is None else cursor.set_range(key) and cursor.next()
                if not found:
                    return
                some = cursor.iternext(keys=True, values=False)
                for key in islice(some, KEYS_PER_MAPPING):
                    yield bytes(key)
            with _lock:
                _close()

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range of keys; the values of those that are not wanted are not touched.

        Raises:
            SourceError: the database has vanished, is damaged, or is not what was planned.
        """
        count = 0
        with _reading(self.path, self.db) as transaction, transaction.cursor() as cursor:
            assert entry.first_key is not None
            if not cursor.set_range(entry.first_key) or cursor.key() != entry.first_key:
                raise changed_error(self.path)
            keys = cursor.iternext(keys=True, values=False)
            image_ids = (_image_id(bytes(key)) for key in keys)
            taken = (image_id for image_id in image_ids if image_id in self.names)
            for image_id in islice(taken, entry.stop - entry.start):
                count += 1
                if wanted is None or image_id in wanted:
                    uri = f"{self.path}#{image_id}"
                    yield RawImage(image_id=image_id, uri=uri, data=bytes(cursor.value()))
        if count != entry.stop - entry.start:
            raise changed_error(self.path)


def _image_id(key: bytes) -> str:
    text = key.decode("ascii", errors="replace")
    is_plain = text.isascii() and text.isprintable() and not text.startswith("0x")
    return text if is_plain else f"0x{key.hex()}"


def _data_file(path: str) -> str:
    return os.path.join(path, DATA_FILE) if os.path.isdir(path) else path


def require_database(path: str, name: str | None) -> str | None:
    """Check that a name is that of a database in an LMDB, or that it has none but the main one.

    Args:
        path: of the LMDB.
        name: what the user gave; empty is the main database, as is None where there are no others.

    Raises:
        SourceError: there is no such database, or no name where there are several.
    """
    if name == "":
        return None
    names = _database_names(path)
    if name is None and not names or name in names:
        return name
    known = f"the named databases {', '.join(names)}" if names else "no named database"
    choice = f"; name one as {path}#db={quote(names[0])}" if names else ""
    raise SourceError(f"the LMDB {path} holds {known}{choice}")


def _database_names(path: str) -> list[str]:
    """List the named databases: the main one has a record of each under its name."""
    with _reading(path) as transaction, transaction.cursor() as cursor:
        found = islice(cursor.iternext(), MAX_DATABASES)
        names = [bytes(key) for key, value in found if len(value) == _RECORD_BYTES]
    texts = [name.decode(errors="backslashreplace") for name in names]
    return [text for text in texts if _is_database(path, text)]


def _is_database(path: str, name: str) -> bool:
    try:
        with _reading(path, name):
            return True
    except SourceError:  # it is a value of so many bytes
        return False


@contextmanager
def _reading(path: str, db: str | None = None) -> Iterator["Transaction"]:
    """Begin to read a database; whatever is wrong with it is one line."""
    with needs_extra("lmdb", f"the LMDB {path}", SourceError):
        import lmdb
    try:
        with _lock:
            environment = _environment(path)
            database = environment.open_db(db.encode(), create=False) if db else None
        with environment.begin(db=database) as transaction:
            yield transaction
    except (lmdb.Error, OSError) as error:
        raise SourceError(f"cannot read the LMDB {path}: {error}") from error


def _environment(path: str) -> "Environment":
    """Give the database of a process, which LMDB allows to be open but once."""
    status = os.stat(_data_file(path))
    stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    key = (path, stamp, os.getpid())  # a forked process must open its own
    if key not in _opened:
        _close()
        _opened[key] = _open(path)
    return _opened[key]


def _open(path: str) -> "Environment":
    import lmdb

    environment = lmdb.open(
        path,
        subdir=os.path.isdir(path),
        readonly=True,
        lock=False,
        readahead=False,
        meminit=False,
        max_dbs=MAX_DATABASES,
    )
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = os.path.getsize(_data_file(path))
    if size < needed:  # reading behind the end of a mapped file kills the process
        environment.close()
        raise SourceError(f"the LMDB {path} is cut: it has {size} of {needed} bytes")
    return environment


def _close() -> None:
    """Close the open database; the next reading opens it again."""
    for environment in _opened.values():
        environment.close()
    _opened.clear()
