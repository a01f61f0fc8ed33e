"""A folder tree of image files as a source."""

import errno
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import ClassVar

from iem_batch.errors import SourceError, StorageError
from iem_batch.images.first_bytes import image_extension
from iem_batch.sources.formats import HEAD_BYTES, is_image_name, lacks_extension
from iem_batch.sources.names import ALL, Names
from iem_batch.sources.pieces import name_below
from iem_batch.sources.protocol import (
    MAX_FILE_BYTES,
    NO_COLUMNS,
    Entry,
    IgnoredFile,
    RawImage,
    UnreadableImage,
    source_url,
)
from iem_batch.storage.folder import Folder


@dataclass(frozen=True)
class FolderSource:
    """A folder tree of image files; an image's id is its path below the folder.

    Files are chosen by extension, those without one by their first bytes, and decoded by their
    content. Hidden files and folders, and names that are not valid UTF-8, are ignored.

    Args:
        folder: the folder.
        names: the images in it that are taken.
    """

    exact_bytes: ClassVar[bool] = True
    """The sizes are those of the files."""

    kept: ClassVar = NO_COLUMNS

    folder: Folder
    names: Names = ALL

    @property
    def url(self) -> str:
        """Where the folder lies."""
        return source_url(self.folder.url, "folder", self.names)

    def fingerprint(self) -> None:
        """Nothing tells less than the listing itself."""

    def entries(self, max_images: int = 512) -> Iterator[Entry | IgnoredFile]:
        """List the files in the order of their names; an entry is one file.

        Raises:
            SourceError: the folder, or one below it, cannot be listed.
        """
        try:
            for file in self.folder.walk():
                uri = self.folder.url_of(file.name)
                is_file = file.num_bytes is not None or file.is_lost
                if not is_file or not self._is_image(file.name):
                    yield IgnoredFile(uri=uri)
                else:
                    yield Entry(uri=uri, start=0, stop=1, num_bytes=file.num_bytes or 0)
        except (StorageError, FileNotFoundError) as error:
            raise SourceError(f"cannot list {self.folder.url}: {error}") from error

    def _is_image(self, name: str) -> bool:
        if name not in self.names:
            return False
        if not lacks_extension(name):
            return is_image_name(name)
        try:
            return image_extension(self.folder.read_range(name, 0, HEAD_BYTES)) is not None
        except (StorageError, FileNotFoundError):  # nothing says that it was one
            return False

    def read(
        self, entry: Entry, wanted: Container[str] | None = None
    ) -> Iterator[RawImage | UnreadableImage]:
        """Read one file.

        Raises:
            StorageError: the store failed, which says nothing about the image; try again.
            SourceError: the whole folder has vanished.
        """
        image_id = name_below(self.folder, entry.uri)
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
            yield unreadable("missing", "the file is gone, or a link that leads nowhere")
        except StorageError as error:
            if not self._is_about_the_file(error):
                raise
            yield unreadable("unreadable", str(error))

    def _require_presence(self) -> None:
        """Tell one missing file from a folder that is gone, such as an unmounted disk."""
        if self.folder.is_empty():
            raise SourceError(
                f"{self.folder.url} is gone or empty; it was not when the run was planned"
            )

    def _is_about_the_file(self, error: StorageError) -> bool:
        """A refusal by an object store may be an expired secret; one by a local disk is final."""
        cause = error.__cause__
        refused = isinstance(cause, (PermissionError, IsADirectoryError))
        is_loop = isinstance(cause, OSError) and cause.errno == errno.ELOOP
        return self.folder.is_local and (refused or is_loop)
