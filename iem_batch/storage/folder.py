"""Folders on any storage.

Local folders are plain paths; object stores are URLs (s3://, gs://, abfs://, memory://), which
`iem_batch.storage.object_store` describes.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, BinaryIO, Literal, cast

import fsspec

from iem_batch.errors import CredentialsError, IEMBatchError, StorageError
from iem_batch.storage import object_store, store_errors
from iem_batch.storage.local_files import create_file, delete_empty_folders, replace_file
from iem_batch.storage.object_store import Location
from iem_batch.storage.store_pages import store_pages
from iem_batch.storage.walk import LOST, walk_local, walk_pages
from iem_batch.waiting import waiting


@dataclass(frozen=True)
class FoundFile:
    """One name met when walking a folder.

    Args:
        name: path below the folder, '/'-separated.
        num_bytes: size of the file; None if it cannot be read as one, such as a hidden folder, a
            pipe, or a link to a folder listed already.
        is_lost: whether it is a link that leads nowhere, or gone since it was listed.
    """

    name: str
    num_bytes: int | None
    is_lost: bool = False


@dataclass(frozen=True)
class Folder:
    """A folder on any storage; it need not exist. Two of the same place compare equal.

    Args:
        url: a local path, file:// or an object store's URL. Kept without a trailing slash, and
            absolute when local. Nothing in it is percent-decoded.

    Raises:
        StorageError: the scheme or an option is not supported, no bucket is named, or there are
            credentials in the URL.
    """

    url: str

    def __post_init__(self) -> None:
        """Normalise the URL."""
        url = self.url
        if url.startswith(("file://", "local://")):
            url = url.partition("://")[2]
        scheme, separator, _ = url.partition("://")
        is_local = not separator or "/" in scheme
        url = os.path.abspath(url) if is_local else object_store.parse(url).url_with_options
        object.__setattr__(self, "url", url)

    @property
    def is_local(self) -> bool:
        """Whether the folder is a path of this machine."""
        return self.url.startswith("/")

    def url_of(self, name: str) -> str:
        """Give the URL of something in the folder, without the options of the folder's own."""
        url = self.url if self.is_local else self._location.url
        return f"{url.rstrip('/')}/{name}" if name else url

    def read_bytes(self, name: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: anything else went wrong; its cause is the store's own error.
        """
        with self._explained("read", name):
            return self._read(name)

    def write_bytes(self, name: str, data: bytes) -> str:
        """Write a whole file, with its parents; it appears complete or not at all.

        Returns:
            The SHA-256 of `data`, in hexadecimal.

        Raises:
            StorageError: the file could not be written; what was there before is untouched.
        """
        self._write(name, data, is_new=False)
        return hashlib.sha256(data).hexdigest()

    def create(self, name: str, data: bytes) -> bool:
        """Write a whole file if there is none, and tell whether; of two at once only one does.

        A store that cannot tell may replace it: who must know which of two stands reads it.

        Raises:
            StorageError: it could not be written.
        """
        try:
            self._write(name, data, is_new=True)
        except StorageError as error:
            if not store_errors.says_it_is_there(error):
                raise
            return False
        return True

    def _write(self, name: str, data: bytes, *, is_new: bool) -> None:
        filesystem, path = self._locate(name)
        try:
            with self._explained("write", name):
                if self.is_local:
                    (create_file if is_new else replace_file)(path, data)
                else:
                    (object_store.create if is_new else object_store.write)(filesystem, path, data)
        except FileNotFoundError as error:
            # A parent that another process takes away, or a store's way to say there is no bucket.
            what = "" if self.is_local else "there is no such bucket: "
            raise StorageError(
                f"cannot write {self.url_of(name)}: {what}{self._cause(error)}"
            ) from error

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading in any order.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: anything else went wrong.
        """
        filesystem, path = self._locate(name)
        with self._explained("read", name):
            return cast(BinaryIO, filesystem.open(path, "rb"))

    def kind(self, name: str = "") -> Literal["file", "folder", "absent"]:
        """Tell what lies under a name; the folder itself when the name is empty."""
        filesystem, path = self._locate(name)
        try:
            with self._explained("look for", name):
                found = filesystem.info(path)["type"]
        except FileNotFoundError:
            return "absent"
        return "folder" if found == "directory" else "file"

    def exists(self, name: str) -> bool:
        """Tell whether there is a file or folder of this name."""
        return self.kind(name) != "absent"

    def size(self, name: str) -> int:
        """Give the size of a file in bytes.

        Raises:
            FileNotFoundError: there is no such file.
        """
        filesystem, path = self._locate(name)
        with self._explained("look for", name):
            return int(filesystem.info(path)["size"])

    def names(self, folder: str) -> list[str]:
        """List the base names of the files directly in a folder, sorted, dot-files left out.

        Returns:
            An empty list when the folder is absent.
        """
        filesystem, path = self._locate(folder)
        try:
            with self._explained("list", folder):
                if self.is_local:
                    with os.scandir(path) as entries:
                        names = [entry.name for entry in entries if entry.is_file()]
                else:
                    pages = store_pages(filesystem, path, "", False)
                    names = [name for page in pages for name, _ in page.files]
        except FileNotFoundError:
            return []
        return sorted(name for name in names if name and not name.startswith("."))

    def is_empty(self) -> bool:
        """Tell whether there is nothing in the folder, or no folder; lists no more than it must."""
        if self.kind() != "folder":
            return True
        filesystem, path = self._locate("")
        with self._explained("list", ""):
            if not self.is_local:
                return object_store.is_empty(filesystem, path)
            with os.scandir(path) as entries:
                return next(entries, None) is None

    def delete(self, *names: str) -> None:
        """Delete files; one that is absent is fine, and a folder is never deleted.

        Raises:
            StorageError: a file may not be deleted.
        """
        places = [self._locate(name) for name in names]
        if places and not self.is_local:
            with self._explained("delete", names[0]), suppress(FileNotFoundError):
                object_store.delete(places[0][0], [path for _, path in places])
            return
        for name, (_, path) in zip(names, places, strict=True):
            with self._explained("delete", name), suppress(FileNotFoundError):
                os.unlink(path)

    def delete_empty_folders(self, names: Iterable[str]) -> None:
        """Delete local folders below this one in which nothing is left, and their parents."""
        for name in names if self.is_local else ():
            delete_empty_folders(self.url, name)

    def below(self, name: str) -> "Folder":
        """Give a folder below this one, reached in the same way."""
        if self.is_local:
            return Folder(self.url_of(name))
        below = replace(self._location, path=f"{self._location.path}/{name}")
        return Folder(below.url_with_options)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Read the bytes start..stop-1 of a file; fewer when it ends before.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: anything else went wrong.
        """
        try:
            with self._explained("read", name):
                return self._read(name, start, stop)
        except StorageError as error:
            if store_errors.error_code(error) == "InvalidRange":  # the file ends before `start`
                return b""
            raise

    def _read(self, name: str, start: int | None = None, stop: int | None = None) -> bytes:
        filesystem, path = self._locate(name)
        options = () if self.is_local else self._location.options
        return object_store.read(filesystem, options, path, start, stop)

    def walk(self) -> Iterator[FoundFile]:
        """List all files below the folder, in the order of their names; see `walk`.

        Raises:
            FileNotFoundError: the folder is absent.
            StorageError: the folder, or one below it, cannot be listed.
        """
        filesystem, path = self._locate("")
        pages = partial(store_pages, filesystem, path)
        with self._in_one_line("list", ""):
            found = walk_local(path) if self.is_local else walk_pages(pages)
            for name, num_bytes in found:
                is_lost = num_bytes == LOST
                yield FoundFile(name, None if is_lost else num_bytes, is_lost)

    @property
    def _location(self) -> Location:
        return object_store.parse(self.url)

    def _locate(self, name: str) -> tuple[Any, str]:
        """Give the filesystem and the path in its own form.

        The name is added behind the URL's path, so that nothing in it is taken for URL syntax.
        """
        if self.is_local:
            filesystem, root = fsspec.filesystem("file"), self.url
        else:
            filesystem, root = object_store.connect(self._location)
        return filesystem, os.path.join(root, name) if name else root

    @contextmanager
    def _explained(self, action: str, name: str) -> Iterator[None]:
        """Say what is waited for while a store is asked, and what went wrong, in one line each."""
        asked = f"the answer to: {action} {self.url_of(name)}"
        with waiting(lambda: asked, "storage"), self._in_one_line(action, name):
            yield

    @contextmanager
    def _in_one_line(self, action: str, name: str) -> Iterator[None]:
        """Turn any failure but absence into one clear line."""
        try:
            yield
        except (FileNotFoundError, IEMBatchError):
            raise
        except NotADirectoryError as error:  # a parent is a file, so the name is absent
            raise FileNotFoundError(*error.args) from error
        except Exception as error:
            kind = CredentialsError if store_errors.concerns_credentials(error) else StorageError
            if kind is CredentialsError:
                object_store.forget()  # so that new ones are found by the next attempt
            raise kind(f"cannot {action} {self.url_of(name)}: {self._cause(error)}") from error

    def _cause(self, error: Exception) -> str:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        if not self.is_local:
            return store_errors.cause(error, self._location.scheme)
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
