"""Fetching the images of a list of URLs, several at a time."""

import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from iem_batch.errors import StorageError
from iem_batch.sources.protocol import MAX_FILE_BYTES, RawImage, UnreadableImage
from iem_batch.storage.folder import Folder
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.storage.web import BusyError, WebFile, is_web

MAX_ATTEMPTS = 3
PAUSE_S = 0.5
"""Before the second attempt; doubled before each further one, and drawn from half to one and a half
of that, so that workers do not come back at once."""

JUDGED_TOGETHER, MIN_ALL_LOST = 64, 8
"""URLs judged together, and the fewest: if none can be reached, the network is to blame."""


@dataclass(frozen=True)
class Request:
    """A URL to read.

    Args:
        image_id: of its image.
        uri: where the URL was listed.
        url: the URL; None if there is none.
    """

    image_id: str
    uri: str
    url: object


def fetch(requests: Iterable[Request], allow_local: bool) -> Iterator[RawImage | UnreadableImage]:
    """Read URLs in order; one that fails does not affect the others.

    Args:
        requests: what to read.
        allow_local: whether a URL may be a local path, as those of a local list may.

    Raises:
        StorageError: none of many URLs could be reached.
    """
    items = map_ahead(partial(_fetch, allow_local), requests)
    while found := list(islice(items, JUDGED_TOGETHER)):
        lost = [item for item in found if isinstance(item, UnreadableImage)]
        lost = [item for item in lost if item.reason == "unreachable"]
        if len(lost) == len(found) >= MIN_ALL_LOST:
            raise StorageError(f"none of {len(lost)} URLs could be reached: {lost[0].message}")
        yield from found


def _fetch(allow_local: bool, request: Request) -> RawImage | UnreadableImage:
    uri = request.url if isinstance(request.url, str) else request.uri

    def unreadable(reason: str, message: str) -> UnreadableImage:
        return UnreadableImage(image_id=request.image_id, uri=uri, reason=reason, message=message)

    if request.url is None:
        return unreadable("null", "the URL is null")
    if not (isinstance(request.url, str) and _is_url(uri, allow_local)):
        return unreadable("not_a_url", "not a URL that can be read: use https, http, s3 or gs")
    try:
        data = _read(uri)
    except FileNotFoundError:
        return unreadable("missing", "there is nothing at this URL")
    except StorageError as error:
        return unreadable("unreachable", str(error))
    if len(data) > MAX_FILE_BYTES:
        return unreadable("too_large", f"{len(data)} bytes, more than {MAX_FILE_BYTES}")
    return RawImage(image_id=request.image_id, uri=uri, data=data)


def _is_url(url: str, allow_local: bool) -> bool:
    if url.startswith(("/", "file:")):
        return allow_local
    scheme, separator, path = url.partition("://")
    return bool(separator) and scheme in ("http", "https", "s3", "s3a", "gs", "gcs") and bool(path)


def _read(url: str) -> bytes:
    if not is_web(url):
        folder, _, name = url.rpartition("/")
        return Folder(folder).read_bytes(name)  # its client tries again by itself
    for attempt in range(MAX_ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        try:
            return WebFile(url).read_bytes("")
        except BusyError as error:
            last = error
    raise last
