"""Collections of images: which pieces there are, and reading a range of a piece."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Protocol

from iem_batch.data.storage import Folder
from iem_batch.errors import SourceError, StorageError

EXTENSIONS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib")
    + ("tif", "tiff", "ppm", "pgm", "pbm", "pnm")
)
"""Extensions, in lower case, by which a folder's files are taken for images."""

MAX_FILE_BYTES = 1 << 30
"""A file larger than this is not read: no image within the decoder's limits needs it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A range of images in one piece of a source.

    Args:
        uri: the piece: a file, a tar, ...
        start: first image of the range, counted in the piece.
        stop: one past the last.
        num_bytes: size of the range.
    """

    uri: str
    start: int
    stop: int
    num_bytes: int


@dataclass(frozen=True, kw_only=True)
class IgnoredFile:
    """Something in a source that is not taken for images."""

    uri: str


@dataclass(frozen=True, kw_only=True)
class RawImage:
    """An encoded image as it lies in the source.

    Args:
        image_id: names the image in this run; unique, and the same however often it is read.
        uri: where it lies, for a person.
        data: the encoded bytes.
    """

    image_id: str
    uri: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class UnreadableImage:
    """An image that was planned and cannot be read; becomes a quarantine row.

    Args:
        image_id: as in `RawImage`.
        uri: as in `RawImage`.
        reason: ``missing``, ``unreadable`` or ``too_large``.
        message: what was found, for a person.
    """

    image_id: str
    uri: str
    reason: str
    message: str


class Source(Protocol):
    """A collection of images. Small and picklable: it travels to every worker."""

    @property
    def url(self) -> str:
        """Where the collection lies, normalised."""

    def entries(self) -> Iterator[Entry | IgnoredFile]:
        """List the collection in an order that depends on its names alone.

        Raises:
            SourceError: the collection cannot be listed.
        """

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read a range, image by image: exactly ``entry.stop - entry.start`` items.

        With `wanted`, only the images of these ids, and no bytes of the others. An image that
        cannot be read is an item, so that its neighbours in the piece are not lost.

        Raises:
            StorageError: the store failed, which says nothing about the image; try again.
            SourceError: the whole collection has vanished.
        """


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files; an image's id is its path below the folder.

    Files are chosen by extension and decoded by their content. Hidden files and folders, and names
    that are not valid UTF-8, are ignored.
    """

    folder: Folder

    @property
    def url(self) -> str:
        """Where the folder lies."""
        return self.folder.url

    def entries(self) -> Iterator[Entry | IgnoredFile]:
        """List the files, sorted by name; holds the whole listing in memory.

        Raises:
            SourceError: the folder, or one below it, cannot be listed.
        """
        try:
            found = sorted(self.folder.walk(), key=lambda file: file.name)
        except (StorageError, FileNotFoundError) as error:
            raise SourceError(f"cannot list {self.url}: {error}") from error
        for file in found:
            uri = self.folder.url_of(file.name)
            if file.num_bytes is None or not _is_image_name(file.name):
                yield IgnoredFile(uri=uri)
            else:
                yield Entry(uri=uri, start=0, stop=1, num_bytes=file.num_bytes)

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read one file.

        Raises:
            StorageError: the store failed, which says nothing about the image; try again.
            SourceError: the whole folder has vanished.
        """
        image_id = entry.uri.removeprefix(self.folder.url_of("*")[:-1])
        if wanted is not None and image_id not in wanted:
            return

        def unreadable(reason: str, message: str) -> UnreadableImage:
            return UnreadableImage(image_id=image_id, uri=entry.uri, reason=reason, message=message)

        if entry.num_bytes > MAX_FILE_BYTES:
            message = f"the file has {entry.num_bytes} bytes, more than {MAX_FILE_BYTES}"
            yield unreadable("too_large", message)
            return
        try:
            yield RawImage(image_id=image_id, uri=entry.uri, data=self.folder.read_bytes(image_id))
        except FileNotFoundError:
            self._require_presence()
            yield unreadable("missing", "the file was there when the run was planned")
        except StorageError as error:
            if not self._is_about_the_file(error):
                raise
            yield unreadable("unreadable", str(error))

    def _require_presence(self) -> None:
        """Tell one missing file from a folder that is gone, such as an unmounted disk."""
        if self.folder.is_empty():
            raise SourceError(f"{self.url} is gone or empty; it was not when the run was planned")

    def _is_about_the_file(self, error: StorageError) -> bool:
        """A refusal by an object store may be an expired secret; one by a local disk is final."""
        refusals = (PermissionError, IsADirectoryError)
        return self.folder.is_local and isinstance(error.__cause__, refusals)


def open_source(url: str) -> Source:
    """Open a collection of images.

    Args:
        url: a folder, local or on an object store.

    Raises:
        SourceError: there is nothing there, or nothing that this program can read.
    """
    try:
        folder = Folder(url)
        kind = folder.kind()
    except StorageError as error:
        raise SourceError(str(error)) from error
    if kind == "absent":
        raise SourceError(f"{folder.url} does not exist")
    if kind == "file":
        raise SourceError(f"{folder.url} is a file; give the folder that holds the images")
    return FolderSource(folder)


def _is_image_name(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the tables hold UTF-8 only
        return False
    hidden = any(component.startswith(".") for component in name.split("/"))
    _, dot, extension = name.rpartition(".")
    return bool(dot) and not hidden and extension.lower() in EXTENSIONS
