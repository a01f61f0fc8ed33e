"""Images that a table names by their path instead of holding their bytes."""

import os

from iem_batch.errors import StorageError, TooLargeError
from iem_batch.sources.formats import is_image_name
from iem_batch.sources.protocol import MAX_FILE_BYTES, RawImage, UnreadableImage
from iem_batch.storage.local_files import read_file


def read_named(path: str, table: str, image_id: str, uri: str) -> RawImage | UnreadableImage:
    """Read the image file that a row names.

    Only a local table may name files, and only local ones: below its own folder, or by an absolute
    path with the extension of an image, as Hugging Face `datasets` writes it. No path makes a
    store or a web server be asked.

    Args:
        path: as it stands in the row.
        table: where the table lies.
        image_id: of the image.
        uri: of the row.
    """

    def unreadable(reason: str, message: str) -> UnreadableImage:
        message = f"the row has no bytes, only the path {path}: {message}"
        return UnreadableImage(image_id=image_id, uri=uri, reason=reason, message=message)

    if not table.startswith("/"):
        return unreadable("null", "only a local table may name files")
    if "://" in path or "\0" in path:
        return unreadable("not_a_file", "it is no local file")
    folder = os.path.dirname(table)
    place = os.path.normpath(os.path.join(folder, path))
    if os.path.isabs(path):
        if not is_image_name(os.path.basename(place)):
            return unreadable("unsafe_path", "it does not end as the name of an image")
    elif not place.startswith(folder.rstrip("/") + "/"):
        return unreadable("unsafe_path", "it leads out of the folder of the table")
    try:
        return RawImage(image_id=image_id, uri=uri, data=read_file(place, MAX_FILE_BYTES))
    except FileNotFoundError:
        return unreadable("missing", f"there is no {place}")
    except TooLargeError as error:
        return unreadable("too_large", str(error))
    except StorageError as error:
        return unreadable("unreadable", str(error))
